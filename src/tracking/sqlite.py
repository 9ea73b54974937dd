"""A sqlite store is there whole, or not at all.

MLflow makes and upgrades its tables one by one: killed in between, it leaves a file that nothing can open. So
that happens to a copy, which is in memory or in an unnamed file that goes with the process, and sqlite's own
backup brings it into the store: one transaction, which whoever opens the file next rolls back where it was
cut short. Never by a move over the file: who holds the old one could write no more, and beside a left `-wal`
the old rows would come back.

The file itself is the lock, held by sqlite's exclusive locking mode. So there is one however the path is
spelled, and for all users; it keeps out programs that know nothing of this one, like `mlflow ui`; it ends
with the process, whatever ends that; nobody can hold it who may not read the store; and it leaves no file.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from enum import Enum, auto
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from alembic.script import ScriptDirectory
from alembic.util import CommandError
from mlflow.exceptions import MlflowException
from mlflow.store.db import utils
from mlflow.store.db.base_sql_model import Base
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from ..config import ConfigError, one_line
from ..package import command

MOMENT_S = 2.0  # of waiting for another process, until that is said
LONGEST_WAIT_S = 60.0

A = TypeVar("A")


class State(Enum):
    """What a database file holds."""

    EMPTY = auto()
    READY = auto()  # a store with the tables of this MLflow
    OLD = auto()  # MLflow's, to be upgraded; or left half-made, which only an upgrade can tell
    NEWER = auto()
    FOREIGN = auto()  # tables of another program


def make_ready(path: Path) -> None:
    """Make the store that is not there, upgrade an old one, and see that it can be written.

    Raises ConfigError for one that is not to be had, OSError and sqlite3.Error for a file that cannot be
    opened or written; the file is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(_connect(path, "rwc")) as database:
        if _patiently(path, partial(_known, path, database)) is State.READY:
            _patiently(path, partial(_try_to_write, database))
            return
    with closing(_patiently(path, partial(_held, path))) as database:
        state = _known(path, database)  # another process may have been first
        if state is not State.READY:
            _mend(path, database, state)


def is_there(path: Path) -> bool:
    """Whether there is a store, to read from; nothing is written.

    Raises ConfigError for one that this MLflow cannot read as it is, sqlite3.Error for what is none.
    """
    if not path.exists():
        return False
    with closing(_connect(path, "rw")) as database:
        state = _patiently(path, partial(_known, path, database))
    if state is State.OLD:
        raise ConfigError(
            f"the tracking store {path} is of an older MLflow: copy it, and bring it up to date by "
            f"`mlflow db upgrade 'sqlite:///{path}'`, or by the next {command('train')}"
        )
    return state is State.READY


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """With its transactions as they are written here, and errors at once where another process holds it."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", 0, isolation_level=None, uri=True)


def _patiently(path: Path, step: Callable[[], A]) -> A:
    """What the step gives once no other process is in its way; raises ConfigError after a minute."""
    begun, told = time.monotonic(), False
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
        waited = time.monotonic() - begun
        if waited > LONGEST_WAIT_S:
            raise ConfigError(
                f"the tracking store {path} has been locked by another process "
                f"for more than {LONGEST_WAIT_S:g} s: end it, or try again when it is done"
            )
        if waited > MOMENT_S and not told:
            print(f"waiting for another process that holds {path} …", file=sys.stderr, flush=True)
            told = True
        time.sleep(0.05)


def _known(path: Path, database: sqlite3.Connection) -> State:
    """The file's state; raises ConfigError for one that nothing is to be done with."""
    state = _state(database)
    if state is State.FOREIGN:
        raise ConfigError(
            f"{path} holds tables of another program ({_some(_tables(database))}) and no tracking store: "
            "name another file in MLFLOW_TRACKING_URI, as in sqlite:///runs.db"
        )
    if state is State.NEWER:
        raise ConfigError(
            f"the tracking store {path} is of a newer MLflow: update it, by `pip install --upgrade mlflow`"
        )
    return state


def _state(database: sqlite3.Connection) -> State:
    tables = _tables(database)
    if not tables - {"alembic_version"}:
        return State.EMPTY
    if "experiments" not in tables:
        return State.FOREIGN
    revision = None
    if "alembic_version" in tables:
        revision = next((row[0] for row in database.execute("SELECT version_num FROM alembic_version")), None)
    if revision == _migrations().get_current_head() and tables >= set(Base.metadata.tables):
        return State.READY
    try:
        _migrations().get_revision(revision or "base")
    except CommandError:
        return State.NEWER
    return State.OLD


@cache
def _migrations() -> ScriptDirectory:
    """The steps that this MLflow knows; to read them takes a tenth of a second."""
    return ScriptDirectory.from_config(utils._get_alembic_config(""))  # type: ignore[no-untyped-call]


def _tables(database: sqlite3.Connection) -> set[str]:
    rows = database.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    return {name for (name,) in rows}


def _some(names: set[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else "")


def _held(path: Path) -> sqlite3.Connection:
    """A connection that holds the file until it is closed.

    A transaction would not do, for a backup begins its own.
    """
    database = _connect(path, "rwc")
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("BEGIN EXCLUSIVE")
        database.execute("ROLLBACK")
    except BaseException:
        database.close()  # else it would keep the half of the lock that it got
        raise
    return database


def _try_to_write(database: sqlite3.Connection) -> None:
    """Raises what a transaction would, and changes nothing."""
    database.execute("BEGIN IMMEDIATE")
    try:
        [(version,)] = database.execute("PRAGMA user_version")
        database.execute(f"PRAGMA user_version = {version + 1}")
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")


def _mend(path: Path, database: sqlite3.Connection, state: State) -> None:
    """Make the store's tables, or bring them up to date. The file is held."""
    is_new = state is State.EMPTY
    with closing(sqlite3.connect(":memory:" if is_new else "")) as copy:  # of a large store, on the disk
        engine = create_engine("sqlite://", creator=lambda: copy, poolclass=StaticPool)
        if is_new:
            utils._initialize_tables(engine)  # type: ignore[no-untyped-call]
        else:
            print(f"upgrading {path} to the tables of this MLflow …", file=sys.stderr, flush=True)
            database.backup(copy)
            try:
                utils._upgrade_db(engine)  # type: ignore[no-untyped-call]
                is_whole = _state(copy) is State.READY
            except (MlflowException, SQLAlchemyError, CommandError) as error:
                raise _left_half_made(path, database, brief(error)) from error
            if not is_whole:
                raise _left_half_made(path, database, "some tables are missing")
        copy.backup(database)


def _left_half_made(path: Path, database: sqlite3.Connection, why: str) -> ConfigError:
    runs = 0
    if "runs" in _tables(database):
        [(runs,)] = database.execute("SELECT count(*) FROM runs")
    return ConfigError(
        f"the tracking store {path} was left half-made by another program, with {runs or 'no'} runs in it, "
        f"and is as it was ({why}): move it away, and the next {command('train')} makes a new one"
    )


def brief(error: BaseException) -> str:
    """A database's error, less the statement and the link."""
    text = one_line(error).partition(" [SQL:")[0].partition(" (Background on")[0]
    return text if len(text) <= 300 else text[:297] + "..."
