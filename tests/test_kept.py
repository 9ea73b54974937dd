"""The store cannot be written when the training is done: nothing that was trained is lost."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from sqlalchemy import Engine, event

from src.tracking import patience
from tests.record import recorded
from tests.test_resume import on_record, sweeps

pytestmark = pytest.mark.slow

Command = Callable[..., int]
SWEPT = ["-m", "lr=1e-2,1e-3", "epochs=40_000,20_000"]  # seconds, after the parent is there


UNDER_WAY = "SELECT 1 FROM inputs JOIN tags ON run_uuid = destination_id WHERE key = 'settings'"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LONGEST_S", 0.5)


@pytest.fixture
def brief_locks() -> Iterator[None]:
    """MLflow has sqlite wait for whoever holds a file for 20 s; here it is three, in which that is said."""

    def wait_briefly(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> Any:
        return statement.replace("busy_timeout = 20000", "busy_timeout = 3000"), parameters

    event.listen(Engine, "before_cursor_execute", wait_briefly, retval=True)
    yield
    event.remove(Engine, "before_cursor_execute", wait_briefly)


@contextmanager
def once_it_trains(store: Path, meddle: Callable[[threading.Event], None]) -> Iterator[None]:
    """Inside, a thread meddles with the store as soon as a sweep or a run is under way, until the end."""
    over = threading.Event()

    def wait_and_meddle() -> None:
        while not over.is_set():
            with closing(sqlite3.connect(store)) as database:
                if list(database.execute(UNDER_WAY)):
                    break
            time.sleep(0.05)
        meddle(over)

    thread = threading.Thread(target=wait_and_meddle)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def hold(store: Path, is_enough: Callable[[], bool] = lambda: False) -> Callable[[threading.Event], None]:
    def held(over: threading.Event) -> None:
        with closing(sqlite3.connect(store, isolation_level=None, timeout=30)) as database:
            database.execute("BEGIN IMMEDIATE")
            while not (over.wait(0.1) or is_enough()):
                pass

    return held


@pytest.mark.usefixtures("impatient", "brief_locks")
def test_a_store_that_is_held_for_long(
    command: Command, client: MlflowClient, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One line; the runs wait in a file, and the next command puts them on record."""
    assert command(*SWEPT) == 0
    [first] = sweeps(client)
    whole = on_record(client, first)
    with sqlite3.connect(folder / "mlflow.db") as database:  # or the thread takes it for the next one
        database.execute("UPDATE tags SET key = 'before' WHERE key = 'settings'")
    capfd.readouterr()
    with once_it_trains(folder / "mlflow.db", hold(folder / "mlflow.db")):
        assert command(*SWEPT) == 1
    said = capfd.readouterr().err
    [file] = folder.glob("runs-not-on-record-*")
    assert "Traceback" not in said
    assert "cannot be written: (sqlite3.OperationalError) database is locked" in said
    assert f"4 runs are kept in {file}" in said
    assert len(said.splitlines()) == 3  # that it waits, that jobs failed, and why
    content = file.read_bytes()
    file.write_bytes(content[:-9])
    assert command(*SWEPT, "resume=true") == 1  # nothing is trained, and nothing lost, where it was cut
    assert f"the runs kept in {file} cannot be put on record (EOFError" in capfd.readouterr().err
    file.write_bytes(content)
    assert command(*SWEPT, "resume=true") == 0
    said = capfd.readouterr().out
    assert f"put on record: 4 runs that were kept in {file}" in said
    assert not list(folder.glob("runs-not-on-record-*"))
    second = on_record(client, sweeps(client)[0])
    for one in whole:
        one[4].pop("before", None)
    assert [one for one in second if one[2]] == [one for one in whole if one[2]]


@pytest.mark.usefixtures("brief_locks")
def test_a_store_that_is_held_for_a_moment(
    command: Command, client: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For longer than sqlite itself waits: until the command says that it is waiting."""
    said, told = folder / "said.txt", "waiting for the tracking store"
    meddle = hold(folder / "mlflow.db", lambda: told in said.read_text())
    with said.open("w", buffering=1) as stream, once_it_trains(folder / "mlflow.db", meddle):
        monkeypatch.setattr(sys, "stderr", stream)
        assert command(*SWEPT) == 0
    assert told in said.read_text()
    assert {run.info.status for run in recorded(client)} == {"FINISHED"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.usefixtures("impatient")
def test_a_disk_that_is_full(
    small_disk: Path,
    command: Command,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The runs wait where there is room."""
    (small_disk / "mlflow.db").write_bytes((folder / "mlflow.db").read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{small_disk / 'mlflow.db'}")

    def fill(over: threading.Event) -> None:
        with suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as file:
            while True:  # until there is no space left
                file.write(b"x" * 4096)
        over.wait()

    with once_it_trains(small_disk / "mlflow.db", fill):
        assert command(*SWEPT) == 1
    said = capfd.readouterr().err
    [file] = folder.glob("runs-not-on-record-*")
    assert "database or disk is full" in said
    assert "Traceback" not in said
    assert f"4 runs are kept in {file}" in said
    (small_disk / "filler").unlink()
    assert command(*SWEPT, "resume=true") == 0
    assert "4 of 4 runs" not in capfd.readouterr().err
    client = MlflowClient(f"sqlite:///{small_disk / 'mlflow.db'}")
    assert {run.info.status for run in recorded(client)} == {"FINISHED"}
    assert len(recorded(client)) == 5
