"""An application of the launcher's, without torch or MLflow: squares numbers in as long as is asked for.

One number may kill the worker that squares it: each time, or the first time alone.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra

Job = tuple[int, float, bool, bool]


def send(configs: Sequence[Any]) -> tuple[list[Job] | None, list[int]]:
    jobs = [(c.x, float(c.wait_s), c.x == c.deadly, c.x == c.deadly_once) for c in configs]
    return jobs, [job[0] for job in jobs]


def work(jobs: Sequence[Job], stop: Callable[[], bool]) -> list[int | None]:
    return [square(*job, stop) for job in jobs]


def square(x: int, wait_s: float, deadly: bool, once: bool, stop: Callable[[], bool]) -> int | None:
    if stop():
        return None
    begun = Path(f"begun-{x}")
    if deadly or (once and not begun.exists()):
        begun.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    begun.touch()
    until = time.monotonic() + wait_s
    while time.monotonic() < until and not stop():
        time.sleep(0.01)
    return None if stop() else x**2


def receive(numbers: Sequence[int], returned: list[int | None] | Exception) -> Sequence[Any]:
    if isinstance(returned, Exception):
        return [returned] * len(numbers)
    for x, result in zip(numbers, returned, strict=True):
        print(f"{x} squared: {result}", flush=True)
    return returned


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(config: Any) -> None:
    raise AssertionError(f"called with {config}")


if __name__ == "__main__":
    main()
