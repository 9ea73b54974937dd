"""What was trained is not lost where the store cannot be written: tried again, kept in a file, put back.

A disk is full, another program holds the database, a server is away: that may pass in a moment, or not.
"""

from __future__ import annotations

import gzip
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow.exceptions import MlflowException

from ..config import without_passwords
from ..package import command
from ..settings import Origin
from ..terminal.errors import StoreError
from . import sqlite
from .dataset import DatasetRecord
from .patience import away
from .record import RunRecord
from .store import Store
from .writer import open_writer

NAME = "runs-not-on-record-{}.json.gz"


@contextmanager
def beginning(store: Store, origin: Origin) -> Iterator[None]:
    """Inside is what comes before the training; raises StoreError where the store fails."""
    try:
        yield
    except MlflowException as error:
        _leave_to_the_next(origin)
        raise StoreError(f"{_why(store, error)}; nothing was trained") from error


def write(
    store: Store,
    records: Sequence[RunRecord],
    origin: Origin,
    on_written: Callable[[int], object] = lambda written: None,
    again: bool = False,
) -> list[str]:
    """The ids of the runs, which are on record now, in the order given; `on_written` is told how many are.

    `again` where some of them may be on record already. Raises StoreError where the store cannot be written:
    those that are not on record are in a file then.
    """
    ids: list[str] = []
    try:
        for run_id in open_writer(store, again).write(records):
            ids.append(run_id)
            on_written(len(ids))
        return ids
    except Exception as error:
        left = records[len(ids) :]
        path = _keep(store, left, origin)
        _leave_to_the_next(origin)
        raise StoreError(
            f"{_why(store, error)}; {len(left)} runs are kept in {path}, and put on record by the next "
            f"{command('train')} into this store"
        ) from error


def _leave_to_the_next(origin: Origin) -> None:
    """The next command ends the sweep."""
    if origin.sweep:
        origin.kept.touch()


def put_back(store: Store, origin: Origin) -> None:
    """Put on record what was kept of this experiment, and say so; raises StoreError where that fails."""
    for path in [path for place in _places(store, origin) for path in place.glob(NAME.format("*"))]:
        try:
            if not _found(path, store):
                continue
            with _locked(path):
                records = [_record(each) for each in _found(path, store)]
                ids = list(open_writer(store, again=True).write(records))
                path.unlink()
        except FileNotFoundError:  # another process put it back
            continue
        except (OSError, EOFError, ValueError, KeyError, TypeError, MlflowException) as error:
            why = away(error) or f"{type(error).__name__}: {sqlite.brief(error)}"
            raise StoreError(
                f"the runs kept in {path} cannot be put on record ({why}): mend that, or move the file away"
            ) from error
        print(f"put on record: {len(ids)} runs that were kept in {path}")


def _found(path: Path, store: Store) -> list[dict[str, Any]]:
    """What a file of this user's keeps for the store; anybody may write to a temporary folder."""
    if path.lstat().st_uid != getattr(os, "getuid", int)():
        return []
    found = json.loads(gzip.decompress(path.read_bytes()))
    return list(found["records"]) if found["store"] == _identity(store) else []


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Inside, no other process puts the file back: a server would have each run twice."""
    lock = path.with_suffix(".lock")
    with FileLock(lock):
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes it itself
                lock.unlink()


def _why(store: Store, error: Exception) -> str:
    why = away(error) or sqlite.brief(error)
    return without_passwords(f"the tracking store {store.uri} cannot be written: {why}")


def _keep(store: Store, records: Sequence[RunRecord], origin: Origin) -> Path:
    """The file that holds them now; raises OSError where none can be written."""
    content = {"store": _identity(store), "records": [asdict(each) for each in records]}
    data = gzip.compress(json.dumps(content).encode())
    name = NAME.format(f"{origin.sweep or 'run'}-{secrets.token_hex(4)}")
    *places, last = _places(store, origin)
    for place in places:
        try:
            return _written(place / name, data)
        except OSError:
            continue
    return _written(last / name, data)


def _written(path: Path, data: bytes) -> Path:
    part = path.with_suffix(".part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _places(store: Store, origin: Origin) -> Iterator[Path]:
    """Beside the store, here, and where temporary files go once the sweep has ended."""
    if store.file:
        yield store.file.parent
    yield Path.cwd()
    yield Path(origin.folder).parent if origin.folder else Path(tempfile.gettempdir())


def _identity(store: Store) -> list[str]:
    return [without_passwords(store.uri), store.experiment_id]


def _record(found: dict[str, Any]) -> RunRecord:
    dataset = found["dataset"]
    return RunRecord(**found | {"dataset": DatasetRecord(**dataset) if dataset else None})
