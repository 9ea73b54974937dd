"""A sqlite store of another MLflow or another program: upgraded, left as it is, or refused.

Expected tables: those that MLflow itself makes in a file. Kills are real.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from alembic import command as alembic
from mlflow.store.db import utils
from mlflow.store.tracking.dbmodels.initial_models import Base
from sqlalchemy import create_engine

from src import compare, predict
from src.tracking import sqlite
from tests.test_store import killed_after, tables, told

OLD = "71994744cf8e"  # the schema of MLflow 3.3
OLD_RUN = "a" * 32


@pytest.fixture(scope="module")
def old_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store as an older MLflow left it, with a run in it."""
    path = tmp_path_factory.mktemp("old") / "mlflow.db"
    engine = create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    config = utils._get_alembic_config(f"sqlite:///{path}")  # type: ignore[no-untyped-call]
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.upgrade(config, OLD)
    engine.dispose()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (1, 'x', 'active')"
        )
        columns = "run_uuid, name, status, lifecycle_stage, experiment_id"
        database.execute(f"INSERT INTO runs ({columns}) VALUES ('{OLD_RUN}', 'old', 'FINISHED', 'active', 1)")
    return path


@pytest.fixture
def old_store(old_database: Path, empty_folder: Path) -> Path:
    path = empty_folder / "mlflow.db"
    path.write_bytes(old_database.read_bytes())
    return path


def test_who_reads_an_old_store_leaves_it(old_store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = old_store.read_bytes()
    for read in (partial(compare.command, []), partial(predict.command, ["best", "1"])):
        assert read() == 2
        assert f"`mlflow db upgrade 'sqlite:///{old_store}'`" in told(capfd)
    assert old_store.read_bytes() == before
    assert {path.name for path in old_store.parent.iterdir()} == {"data", "mlflow.db"}


def test_who_writes_to_an_old_store_upgrades_it(
    old_store: Path, migrated_store: Path, command: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    """Its run is still there, the tables are this MLflow's; in WAL mode, too, and it stays in it."""
    with closing(sqlite3.connect(old_store)) as database:
        database.execute("PRAGMA journal_mode = WAL")
    assert command("epochs=1") == 0
    assert capfd.readouterr().err == f"upgrading {old_store} to the tables of this MLflow …\n"
    assert tables(old_store).keys() == tables(migrated_store).keys()
    with closing(sqlite3.connect(old_store)) as database:
        assert database.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
        names = {name for (name,) in database.execute("SELECT name FROM runs")}
    assert names == {"old", "lr=0.01 scale 1"}


@pytest.mark.slow
@pytest.mark.parametrize("kills", [6])
def test_killed_while_it_is_upgraded(kills: int, old_database: Path, tmp_path: Path) -> None:
    """As it was, or upgraded; its run is there."""
    old = tables(old_database)
    for kill in range(kills):
        folder = tmp_path / str(kill)
        folder.mkdir()
        path = folder / "mlflow.db"
        path.write_bytes(old_database.read_bytes())
        killed_after(4 * (kill + 1) / kills, folder)
        assert tables(path) == old or sqlite.is_there(path)
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT run_uuid FROM runs").fetchall() == [(OLD_RUN,)]


def test_a_half_made_store(
    old_store: Path, command: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    """A table that a later step makes is there already: what a kill of MLflow's own upgrade leaves."""
    with closing(sqlite3.connect(old_store)) as database:
        database.execute("CREATE TABLE jobs (id INTEGER)")
    before = old_store.read_bytes()
    assert command("epochs=1") == 2
    upgrading, line = capfd.readouterr().err.splitlines()
    assert upgrading.startswith("upgrading ")
    for words in (
        "left half-made",
        "1 runs in it",
        "is as it was",
        "table jobs already exists",
        "move it away",
    ):
        assert words in line
    assert old_store.read_bytes() == before


@pytest.mark.parametrize("reads", [False, True])
def test_tables_of_another_program(
    reads: bool, command: Callable[..., int], empty_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = empty_folder / "mlflow.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE invoices (id INTEGER)")
    before = path.read_bytes()
    assert (compare.command([]) if reads else command("epochs=1")) == 2
    assert "tables of another program (invoices)" in told(capfd)
    assert path.read_bytes() == before


@pytest.mark.parametrize("reads", [False, True])
def test_a_store_of_a_newer_mlflow(
    reads: bool, command: Callable[..., int], folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    assert (compare.command([]) if reads else command("epochs=1")) == 2
    assert "is of a newer MLflow" in told(capfd)
