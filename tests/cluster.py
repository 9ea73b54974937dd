"""A real scheduler of dask.distributed with workers that come, go and are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
from distributed import Client

from tests.conftest import ROOT

LIMIT_S = 60.0


def wait_until(is_so: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> None:
    deadline = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


class Cluster:
    """Processes of this machine that a client finds by an address alone; all work in one folder.

    The scheduler cannot import the module `hidden`.
    """

    def __init__(self, folder: Path, *options: str, hidden: str = "") -> None:
        self.folder, self.started, self.hidden = folder, ExitStack(), hidden
        found = folder / "scheduler.json"
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0",
            "--scheduler-file", str(found), *options,
        )  # fmt: skip
        wait_until(found.exists, "no scheduler came up")
        self.client = Client(scheduler_file=str(found), set_as_default=False)
        self.address = str(self.client.scheduler.address)

    def worker(
        self, *options: str, nanny: bool = True, folder: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """One more, ready to work; a nanny starts it anew when it is killed."""
        before = len(self.pids)
        process = self._start(
            "worker", self.address, "--nthreads", "1", "--memory-limit", "0", "--no-dashboard",
            "--local-directory", str(self.folder), "--nanny" if nanny else "--no-nanny", *options,
            folder=folder,
        )  # fmt: skip
        wait_until(lambda: len(self.pids) > before, "no worker came up")
        return process

    def _start(self, *command: str, folder: Path | None = None) -> subprocess.Popen[bytes]:
        dask = ["-m", "dask"]
        if self.hidden and command[0] == "scheduler":
            lines = f"import sys; sys.modules['{self.hidden}'] = None; from dask.__main__ import main; main()"
            dask = ["-c", lines]
        process = subprocess.Popen(
            [sys.executable, *dask, *command],
            cwd=folder or self.folder,  # where a worker looks for modules first
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.started.callback(_end, process)
        return process

    @property
    def pids(self) -> dict[str, int]:
        """The workers' processes, by their addresses."""
        return dict(self.client.run(os.getpid, on_error="ignore"))

    @property
    def busy(self) -> list[int]:
        """The processes of the workers that are at work."""
        busy = self.client.run(lambda dask_worker: len(dask_worker.state.executing), on_error="ignore")
        pids = self.pids
        return [pids[address] for address, count in busy.items() if count and address in pids]

    def at_work_on(self, line: str) -> int:
        """How many workers are at a line of code with this text, or below it."""
        return sum(line in str(stack) for stack in self.client.call_stack().values())

    @property
    def is_idle(self) -> bool:
        """Whether no worker is at work, nor to be."""
        return not self.busy and not any(self.client.processing().values())

    def close(self) -> None:
        self.client.close()
        self.started.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """With its children: a nanny's worker would outlive it for a while."""
    if process.poll() is None:
        family = psutil.Process(process.pid)
        for each in (*family.children(recursive=True), family):
            each.kill()
    process.wait()
