"""Whole processes, measured: seconds, peak memory, phases, and that what was asked for is on record.

Nothing heavy is imported here: the peak memory that Linux reports for a process is at least its parent's.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks import TABLES

ROOT = Path(__file__).resolve().parents[1]
FEW = 2  # runs of the smaller stock sweep: the larger one's further runs cost no start-up
GREATEST_RATE = 0.03  # stable: the default input's limit is 0.0329782, so every run trains to its end


@dataclass(frozen=True)
class Measured:
    """One sweep: a plain process for time and memory, a second one under the stopwatch for the phases."""

    runs: int
    seconds: float
    cpu_s: float
    peak_mib: float
    watched_seconds: float
    phases: dict[str, float]

    @property
    def per_run(self) -> float:
        """Seconds, start-up included."""
        return self.seconds / self.runs


@dataclass(frozen=True)
class Round:
    """Everything measured once, side by side; `batch`, `floor` (phase -> seconds) and `rival` are by runs.

    `rival` is empty where its packages are not installed.
    """

    few: Measured
    stock: Measured
    batch: dict[int, Measured]
    floor: dict[int, dict[str, float]]
    rival: dict[int, Measured]

    @property
    def further(self) -> float:
        """Seconds of one further run under the stock launcher."""
        return (self.stock.seconds - self.few.seconds) / (self.stock.runs - self.few.runs)

    def to_stock(self, runs: int) -> float:
        """How many times faster a run is than under the stock launcher, start-up on both sides."""
        return self.stock.per_run / self.batch[runs].per_run

    def to_further(self, runs: int) -> float:
        """The same with start-up on the batch's side alone."""
        return self.further / self.batch[runs].per_run

    def to_rival(self, runs: int) -> float:
        """How many times the rival's CPU time the batch takes."""
        return self.batch[runs].cpu_s / self.rival[runs].cpu_s

    def to_floor(self, runs: int) -> float:
        """How many times longer the whole process takes than its training and its rows alone."""
        return self.batch[runs].seconds / sum(self.floor[runs].values())


class Place:
    """The folder to measure in: the data, and a migrated store without runs."""

    def __init__(self, folder: Path, epochs: int) -> None:
        self.folder, self.epochs = folder, epochs
        self.store, self.empty = folder / "mlflow.db", folder / "empty.db"
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
        self.environment["PYTHONPATH"] = str(ROOT)
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or all of the project is compiled each time
        shutil.copytree(ROOT / "data", folder / "data")
        self._process("src.train", "epochs=1")  # migrates the schema, which takes seconds, once and for all
        self._empty()

    def measure(self, launcher: str, runs: int) -> Measured:
        """A sweep of so many runs, twice."""
        say(f"  {launcher}, runs: {runs:,}")
        sweep = ("-m", f"hydra/launcher={launcher}", rates(runs), f"epochs={self.epochs}")
        seconds, cpu_s, peak_mib = self._sweep("src.train", sweep, runs)
        watched_seconds, *_ = self._sweep("benchmarks._phases", sweep, runs)
        phases: dict[str, float] = json.loads((self.folder / "phases.json").read_text())
        phases["exit"] = watched_seconds - sum(phases.values())
        return Measured(runs, seconds, cpu_s, peak_mib, watched_seconds, phases)

    def rival(self, runs: int) -> Measured:
        """The same sweep by the program under `rival/`."""
        say(f"  rival, runs: {runs:,}")
        seconds, cpu_s, peak_mib = self._process(
            "benchmarks.rival", str(runs), str(self.epochs), "journal.jsonl"
        )
        return Measured(runs, seconds, cpu_s, peak_mib, seconds, {})

    def floor(self) -> dict[str, float]:
        """The floor of the sweep that was measured last."""
        shutil.copy(self.empty, self.folder / "fresh.db")
        self._process("benchmarks._floor", str(self.epochs), self.store.name, "fresh.db")
        seconds: dict[str, float] = json.loads((self.folder / "output").read_text())
        return seconds

    def _sweep(self, module: str, args: Sequence[str], runs: int) -> tuple[float, float, float]:
        shutil.copy(self.empty, self.store)
        shutil.rmtree(self.folder / "mlruns", ignore_errors=True)
        measured = self._process(module, *args)
        self._check(runs)
        return measured

    def _process(self, module: str, *args: str) -> tuple[float, float, float]:
        """Run a module of the project to its end: seconds, CPU seconds and peak MiB."""
        with (self.folder / "output").open("w") as output, (self.folder / "errors").open("w") as errors:
            started = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-m", module, *args],
                cwd=self.folder,
                env=self.environment
                | {"BENCHMARK_STARTED": repr(started), "BENCHMARK_PHASES": "phases.json"},
                stdout=output,
                stderr=errors,
            )
            _, status, usage = os.wait4(process.pid, 0)  # of this process alone, unlike RUSAGE_CHILDREN
            seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{module} {' '.join(args)} failed:\n{(self.folder / 'errors').read_text()}")
        return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024

    def _check(self, runs: int) -> None:
        """What was timed is what was asked for: every run to its end and on record, and one parent."""
        with closing(sqlite3.connect(self.store)) as database:
            expected = (runs + 1, runs + 1, runs, runs)
            [found] = database.execute(
                "SELECT count(*), sum(status = 'FINISHED'),"
                " (SELECT count(DISTINCT value) FROM params WHERE key = 'lr'),"
                " (SELECT count(*) FROM metrics WHERE key = 'loss' AND step = ?) FROM runs",
                (self.epochs,),
            )
        if found != expected:
            sys.exit(f"on record are {found} runs, finished ones, rates and last losses, not {expected}")

    def _empty(self) -> None:
        """Take the first run out again; its experiment stays."""
        with closing(sqlite3.connect(self.store)) as database:
            for table in TABLES:
                database.execute(f"DELETE FROM {table}")
            database.commit()
        self.store.rename(self.empty)


def rates(runs: int) -> str:
    """The override that sweeps over so many learning rates, evenly up to the greatest.

    The end lies half a step behind the last, where no rounding can add or take one.

    >>> rates(3)
    'lr=range(0.01,0.035,0.01)'
    """
    step = GREATEST_RATE / runs
    return f"lr=range({step:.10g},{GREATEST_RATE + step / 2:.10g},{step:.10g})"


def measure_round(place: Place, sizes: Sequence[int], stock: int) -> Round:
    """The stock sweeps, then each batch and at once its floor and its rival."""
    few, many = place.measure("basic", FEW), place.measure("basic", stock)
    batch, floor, rival = {}, {}, {}
    for runs in sizes:
        batch[runs] = place.measure("batch", runs)
        floor[runs] = place.floor()
        if find_spec("jax"):
            rival[runs] = place.rival(runs)
    return Round(few, many, batch, floor, rival)


def say(text: str) -> None:
    """What is going on, to who waits."""
    print(text, file=sys.stderr, flush=True)
