"""Each run's place in the one order, on record as the metric `rank`: MLflow's page sorts by one metric alone.

It is written where a sweep ends, for all its runs, and never read back: among a part of them, or among the
runs of several sweeps, the places are others.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from mlflow.store.tracking.dbmodels import models
from sqlalchemy import delete

from . import bulk
from .insert import insert_rows
from .patience import AT_ONCE
from .ranking import data_sets
from .record import RANK, TrackedRun
from .rows import NOT_NAN, Row
from .store import Store


def places(runs: Sequence[TrackedRun]) -> Iterator[tuple[int, TrackedRun]]:
    """Each run with its place among those on its data set, from 1, in the order given."""
    for part in data_sets(runs):
        yield from enumerate(part, start=1)


def record(store: Store, runs: Sequence[TrackedRun]) -> None:
    """Put the places of a sweep's runs on record; they are ranked. What was said of fewer runs holds no more.

    A database gets thousands in one transaction, a server a call for each run, the best first.
    """
    if found := {run.run_id: place for place, run in places(runs)}:
        (record_in_bulk if bulk.knows(store) else record_by_client)(store, found)


def record_by_client(store: Store, found: Mapping[str, int]) -> None:
    """By run id, through MLflow's public API, which takes the later of two for the run's."""
    with ThreadPoolExecutor(AT_ONCE if store.is_server else 1) as pool:
        for _ in pool.map(lambda each: store.client.log_metric(each[0], RANK, each[1]), found.items()):
            pass


def record_in_bulk(store: Store, found: Mapping[str, int]) -> None:
    """The same rows in MLflow's own tables, in place of those from before.

    In the order of the ids, some at a time: each touches other pages, all of which stay in memory until the
    transaction's end. A sweep that is ended between two of them is ranked anew by the next command.
    """
    at, ids = int(time.time() * 1000), sorted(found)
    for start in range(0, len(ids), bulk.IDS_A_QUERY):
        part = ids[start : start + bulk.IDS_A_QUERY]
        rows = [(RANK, found[run_id], at, 0, NOT_NAN, run_id) for run_id in part]
        store.patience(partial(_put, store.backend, part, rows))


def _put(sql: Any, ids: Sequence[str], rows: Sequence[Row]) -> None:
    with sql.ManagedSessionMaker(read_only=False) as session:
        bulk.begin(session, sql)
        for model in (models.SqlMetric, models.SqlLatestMetric):
            table = model.__table__
            session.execute(delete(table).where(table.c.run_uuid.in_(ids), table.c.key == RANK))
            insert_rows(session, model, rows)
