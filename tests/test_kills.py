"""Killed at any moment, and again, and again: nothing is lost, doubled, half-written or left behind.

A few kills in CI; `make kills` makes a hundred of each kind, at other moments each time.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.conftest import ROOT
from tests.server import Server, postgresql

pytestmark = pytest.mark.slow

KILLS, MANY = int(os.environ.get("KILLS", "3")), 20
SWEPT = ["-m", "lr=range(0.0001,0.00510,0.0001)", "normalization=scale,zscore", "epochs=300,900"]  # 200 runs
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

    def run(*args: str, folder: Path, uri: str = "") -> subprocess.Popen[str]:
        folder.mkdir(exist_ok=True)
        (folder / "data").exists() or (folder / "data").symlink_to(ROOT / "data")
        environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        environment |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
        environment |= {"MLFLOW_TRACKING_URI": uri} if uri else {}
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


def on_record(uri: str, experiment: str) -> set[Any]:
    """All that is on record of the last sweep's runs, by their number in it, ids and times aside."""
    engine = create_engine(uri)
    with engine.connect() as database:

        def rows(query: str) -> list[Any]:
            return [tuple(row) for row in database.execute(text(query))]

        here = "FROM runs r JOIN experiments e USING (experiment_id)"
        of_this = f"e.name = '{experiment}' AND r.lifecycle_stage = 'active'"
        [(sweep,)] = rows(
            f"SELECT t.value {here} JOIN tags t USING (run_uuid) WHERE t.key = 'sweep' AND {of_this} "
            "ORDER BY r.start_time DESC LIMIT 1"
        )
        jobs = (
            f"(SELECT run_uuid, a.value AS job {here} "
            "JOIN tags a USING (run_uuid) JOIN tags b USING (run_uuid) "
            f"WHERE a.key = 'job' AND b.key = 'sweep' AND b.value = '{sweep}' AND {of_this}) AS jobs"
        )
        told: list[Any] = []
        for table, columns in COLUMNS.items():
            told += rows(
                f"SELECT job, {columns} FROM {table} p JOIN {jobs} USING (run_uuid) "
                f"WHERE p.key NOT IN {UNLIKE}"
            )
        told += rows(f"SELECT job, 'status', name, status, 0 FROM runs JOIN {jobs} USING (run_uuid)")
        told += rows(
            f"SELECT job, 'data', name, digest, 0 FROM inputs JOIN datasets ON dataset_uuid = source_id "
            f"JOIN {jobs} ON run_uuid = destination_id"
        )
        assert len(told) == len(set(told))
        assert not rows(f"SELECT r.name {here} WHERE r.status = 'RUNNING' AND {of_this}")
        if engine.name == "sqlite":
            assert rows("PRAGMA integrity_check") == [("ok",)]
    engine.dispose()
    return set(told)


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Where the sweeps go, and the database behind that; one for them all, in an experiment each."""
    database = f"sqlite:///{tmp_path / 'mlflow.db'}"
    if request.param == "sqlite":
        yield database, database
    elif request.param == "postgresql":
        with postgresql(tmp_path) as address:
            yield address, address
    else:
        server = Server(tmp_path)
        server.start()
        server.wait()
        yield server.uri, database
        server.kill()


BATCH, BASIC = "hydra.launcher.batch_size=25", "hydra/launcher=basic"
BY_HAND = pytest.mark.skipif(KILLS < MANY, reason="takes minutes: make test-kills")


@pytest.mark.parametrize(
    ("launcher", "store"),
    [
        (BATCH, "sqlite"),
        (BASIC, "sqlite"),
        pytest.param(BATCH, "postgresql", marks=BY_HAND),
        pytest.param(BATCH, "server", marks=BY_HAND),
    ],
    indirect=["store"],
)
def test_a_sweep_that_is_killed_again_and_again(
    launcher: str, store: tuple[str, str], start: Start, tmp_path: Path
) -> None:
    """What is on record in the end is that of a sweep that nothing disturbed."""
    (uri, database), few = store, launcher == BASIC or store[0].startswith("http")
    swept = ["-m", "lr=range(0.0001,0.0013,0.0001)", "epochs=300"] if few else SWEPT
    swept = [*swept, launcher]
    experiment = "tracking.experiment="
    undisturbed, begun = (
        start(*swept, f"{experiment}whole", folder=tmp_path / "whole", uri=uri),
        time.monotonic(),
    )
    assert undisturbed.wait(300) == 0
    needed_s = time.monotonic() - begun
    whole = on_record(database, "whole")
    print(seed := random.randrange(10**6))
    moments, killed, sweeps = random.Random(seed), 0, 0
    while killed < KILLS:
        folder = tmp_path / f"killed{sweeps}"
        sweeps += 1
        first = [*swept, f"{experiment}{folder.name}"]
        again = first
        while True:
            process = start(*again, folder=folder, uri=uri)
            try:
                code = process.wait(moments.uniform(0, needed_s) if killed < KILLS else 300)
            except subprocess.TimeoutExpired:
                kill(process)
                killed += 1
                again = [*first, "resume=true"] if has_parent(database, folder.name) else first
                continue
            said = (folder / "said.txt").read_text()
            assert code == 0 or "is complete" in said.splitlines()[-1], said
            break
        assert on_record(database, folder.name) == whole
    # one that was killed before it could say whose it is stays a minute
    assert not [left for left in (tmp_path / "tmp").iterdir() if any(left.iterdir())]


def has_parent(uri: str, experiment: str) -> bool:
    engine = create_engine(uri)
    query = (
        "SELECT count(*) FROM tags t JOIN runs USING (run_uuid) JOIN experiments e USING (experiment_id) "
        f"WHERE t.key = 'settings' AND e.name = '{experiment}'"
    )
    with engine.connect() as database:
        parents = database.execute(text(query)).scalar()
    engine.dispose()
    return bool(parents)


def test_killed_on_no_store_at_all(
    start: Start, command: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first ten seconds: whatever there is of a store, the next command works."""
    print(seed := random.randrange(10**6))
    moments = random.Random(seed)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for attempt in range(KILLS):
        folder = tmp_path / f"fresh{attempt}"
        process = start("-m", "lr=1e-2,1e-3", "epochs=5", folder=folder)
        time.sleep(moments.uniform(0, 10))
        kill(process)
        monkeypatch.chdir(folder)
        assert command("-m", "lr=1e-2,1e-3", "epochs=5") == 0
        assert len({line[0] for line in on_record(f"sqlite:///{folder / 'mlflow.db'}", "thermometer")}) == 2
