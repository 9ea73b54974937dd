"""Killed at any moment, and again, and again: nothing is lost, doubled, half-written or left behind.

A few kills in CI; `make kills` makes a hundred of each kind, at other moments each time.
"""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("KILLS", "3"))
SWEPT = [
    "-m",
    "lr=range(0.0001,0.02510,0.0001)",
    "normalization=scale,zscore",
    "epochs=300,900",
]  # 1,000 runs
UNLIKE = "('sweep', 'process', 'mlflow.parentRunId', 'mlflow.loggedModelId', 'mlflow.user')"
COLUMNS = {  # of what is on record of a run
    "params": "'param', p.key, p.value, 0",
    "latest_metrics": "'latest', p.key, p.value, p.step",
    "metrics": "'metric', p.key, p.value, p.step",
    "tags": "'tag', p.key, p.value, 0",
}

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`python -m src.train ARGS` in a group of processes and a temporary folder of its own."""
    started: list[subprocess.Popen[str]] = []
    (tmp_path / "tmp").mkdir()

    def run(*args: str, folder: Path) -> subprocess.Popen[str]:
        folder.mkdir(exist_ok=True)
        (folder / "data").exists() or (folder / "data").symlink_to(ROOT / "data")
        environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        environment |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
        with (folder / "said.txt").open("a") as said:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "src.train", *args],
                    cwd=folder,
                    env=environment,
                    stdout=said,
                    stderr=said,
                    text=True,
                    start_new_session=True,
                )
            )
        return started[-1]

    yield run
    for process in started:
        kill(process)


def kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def on_record(folder: Path) -> set[Any]:
    """All that is on record of the last sweep's runs, by their number in it, ids and times aside."""
    with sqlite3.connect(folder / "mlflow.db") as database:
        [(sweep,)] = database.execute(
            "SELECT value FROM tags JOIN runs USING (run_uuid) WHERE key = 'sweep' "
            "ORDER BY start_time DESC LIMIT 1"
        )
        jobs = (
            "(SELECT a.run_uuid, a.value AS job FROM tags a JOIN tags b USING (run_uuid) "
            f"WHERE a.key = 'job' AND b.key = 'sweep' AND b.value = '{sweep}')"
        )
        told: list[Any] = []
        for table, columns in COLUMNS.items():
            told += database.execute(
                f"SELECT job, {columns} FROM {table} p JOIN {jobs} USING (run_uuid) "
                f"WHERE p.key NOT IN {UNLIKE}"
            )
        told += database.execute(
            f"SELECT job, 'status', name, status, 0 FROM runs JOIN {jobs} USING (run_uuid)"
        )
        told += database.execute(
            f"SELECT job, 'data', name, digest, 0 FROM inputs JOIN datasets ON dataset_uuid = source_id "
            f"JOIN {jobs} ON run_uuid = destination_id"
        )
        assert len(told) == len(set(told))
        assert not list(database.execute("SELECT name FROM runs WHERE status = 'RUNNING'"))
        [(checked,)] = database.execute("PRAGMA integrity_check")
        assert checked == "ok"
    return set(told)


@pytest.mark.parametrize("launcher", ["hydra.launcher.batch_size=25", "hydra/launcher=basic"])
def test_a_sweep_that_is_killed_again_and_again(launcher: str, start: Start, tmp_path: Path) -> None:
    """What is on record in the end is that of a sweep that nothing disturbed."""
    swept = SWEPT if "batch" in launcher else ["-m", "lr=range(0.0001,0.0025,0.0001)", "epochs=300"]
    undisturbed = start(*swept, launcher, folder=tmp_path / "whole")
    assert undisturbed.wait(300) == 0
    whole = on_record(tmp_path / "whole")
    print(seed := random.randrange(10**6))
    moments, killed, sweeps = random.Random(seed), 0, 0
    while killed < KILLS:
        folder = tmp_path / f"killed{sweeps}"
        sweeps += 1
        again = [*swept, launcher]
        while True:
            process = start(*again, folder=folder)
            try:
                code = process.wait(moments.uniform(0, 12) if killed < KILLS else 300)
            except subprocess.TimeoutExpired:
                kill(process)
                killed += 1
                again = [*swept, launcher, "resume=true"] if has_parent(folder) else [*swept, launcher]
                continue
            said = (folder / "said.txt").read_text()
            assert code == 0 or "is complete" in said.splitlines()[-1], said
            break
        assert on_record(folder) == whole
    # one that was killed before it could say whose it is stays a minute
    assert not [left for left in (tmp_path / "tmp").iterdir() if any(left.iterdir())]


def has_parent(folder: Path) -> bool:
    if not (folder / "mlflow.db").exists() or not (folder / "mlflow.db").stat().st_size:
        return False
    with sqlite3.connect(folder / "mlflow.db") as database:
        [(parents,)] = database.execute("SELECT count(*) FROM tags WHERE key = 'settings'")
    return bool(parents)


def test_killed_on_no_store_at_all(start: Start, tmp_path: Path) -> None:
    """In the first ten seconds: whatever there is of a store, the next command works."""
    print(seed := random.randrange(10**6))
    moments = random.Random(seed)
    for attempt in range(KILLS):
        folder = tmp_path / f"fresh{attempt}"
        process = start("-m", "lr=1e-2,1e-3", "epochs=5", folder=folder)
        time.sleep(moments.uniform(0, 10))
        kill(process)
        assert start("-m", "lr=1e-2,1e-3", "epochs=5", folder=folder).wait(90) == 0
        assert len({line[0] for line in on_record(folder)}) == 2
