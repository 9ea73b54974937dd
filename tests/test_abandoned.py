"""What processes that are gone have left is ended by the next command, or by the one after that."""

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from sqlalchemy import event

from src.tracking.abandoned import end_abandoned
from src.tracking.patience import LONGEST_S
from src.tracking.store import Store, open_store
from src.tracking.writer import open_writer
from src.workplace import Process
from tests.test_writers import PLAIN

GONE = {"process": json.dumps(asdict(replace(Process.this(), started=0.0)))}
NO_RANKS = """CREATE TRIGGER no_ranks BEFORE INSERT ON metrics WHEN NEW.key = 'rank'
BEGIN SELECT RAISE(ABORT, 'no ranks'); END"""


@pytest.fixture
def store(migrated_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    shutil.copy(migrated_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    store = open_store("thermometer")
    yield store
    store.backend.engine.dispose()  # type: ignore[attr-defined]


def test_who_may_only_read_is_not_kept_waiting(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    left = [store.client.create_run(store.experiment_id, tags=GONE).info.run_id for _ in range(2)]

    @event.listens_for(store.backend.engine, "checkout")  # type: ignore[attr-defined]
    def read_only(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA query_only = ON")

    begun = time.monotonic()
    end_abandoned(store)
    assert time.monotonic() - begun < LONGEST_S / 2
    assert [store.client.get_run(run_id).info.status for run_id in left] == ["RUNNING"] * 2
    assert capfd.readouterr().err == ""


def test_a_sweep_that_cannot_be_ranked_is_ended_by_the_next_command(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    tags = GONE | {"sweep": "sweep-1", "settings": "0" * 16}
    parent = store.client.create_run(store.experiment_id, tags=tags).info.run_id
    [run_id] = open_writer(store).write([replace(PLAIN, tags=PLAIN.tags | {"sweep": "sweep-1"})])
    with closing(sqlite3.connect("mlflow.db")) as database:
        database.execute(NO_RANKS)
        end_abandoned(store)
        assert store.client.get_run(parent).info.status == "RUNNING"
        database.execute("DROP TRIGGER no_ranks")
    end_abandoned(store)
    assert store.client.get_run(parent).info.status == "KILLED"
    assert store.client.get_run(run_id).data.metrics["rank"] == 1
    assert capfd.readouterr().err == "sweep-1 ended early, 1 runs came to their end\n"
