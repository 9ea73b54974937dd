"""`python -m src.train` under a stopwatch: to which phase each moment of the process belongs.

    BENCHMARK_STARTED=<time.monotonic() at the process's start> BENCHMARK_PHASES=phases.json \\
        python -m benchmarks._phases -m lr=1e-2,1e-3

The phases follow upon one another without gap or overlap. Few functions are watched, each called once
per batch (under the stock launcher, once per job), so watching costs nothing that could be measured.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections import defaultdict
from functools import wraps
from pathlib import Path
from typing import Any

PHASES = ("start", "compose", "train", "record", "finish", "exit")


class Stopwatch:
    """Seconds by phase; a phase within another stops the outer one's clock."""

    def __init__(self, phase: str, since: float) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.phase, self.since = phase, since

    def switch(self, phase: str) -> str:
        """Begin a phase; the one that ends."""
        now = time.monotonic()
        self.seconds[self.phase] += now - self.since
        ended, self.phase, self.since = self.phase, phase, now
        return ended

    def watch(self, owner: object, name: str, phase: str, then: str | None = None) -> None:
        """Count a function of `owner` as `phase`; what follows is `then`, or what was before."""
        function = getattr(owner, name)

        @wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            before = self.switch(phase)
            try:
                return function(*args, **kwargs)
            finally:
                self.switch(then or before)

        setattr(owner, name, watched)


def main() -> int:
    """Run the command; its exit code."""
    stopwatch = Stopwatch("start", since=float(os.environ["BENCHMARK_STARTED"]))
    # All that the command imports bit by bit, so that importing counts as the start.
    import hydra._internal.hydra

    from src import pipeline, train

    stopwatch.watch(hydra._internal.hydra.Hydra, "multirun", "compose", then="finish")
    for name in ("open_store", "_begin", "train", "record"):
        stopwatch.watch(pipeline, name, "record")
    stopwatch.watch(pipeline, "calibrate", "train")
    code = train.command()
    stopwatch.switch("finish")
    Path(os.environ["BENCHMARK_PHASES"]).write_text(json.dumps(stopwatch.seconds))
    return code


if __name__ == "__main__":
    exit_code = main()
    gc.freeze()  # as src.train does
    sys.exit(exit_code)
