"""The fast record: complete runs straight into MLflow's own tables and back, many in one transaction.

For a database that this process opens itself, with the schema this file was written for. What is read
back through MLflow's API is the same as from the client; a test holds the two to it field by field.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

from mlflow.exceptions import MlflowException
from mlflow.store.tracking.dbmodels import models
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import Select, delete, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from . import rows
from .dataset import DatasetRecord, DataSummary
from .insert import insert_rows
from .record import DONE, HALF, OF_ONE, RANK, RunRecord, TrackedRun
from .rows import Row
from .selection import Selection
from .store import Store

KNOWN_SCHEMAS = {"dc11669786a5"}  # alembic heads of MLflow whose tables this file knows

RUNS_A_TRANSACTION = 500  # about half a second: no reader waits longer
TRIES = 3  # of a transaction; PostgreSQL lets two clients begin at once, and stops the later
IDS_A_QUERY = 1000  # any database takes as many; of more sqlite would rather look at every run there is
MANY = 500  # runs after which the database is told how its indexes lie


def knows(store: Store) -> bool:
    """Whether the store is a database opened here, with a schema this file knows."""
    sql = store.backend
    if type(sql) is not SqlAlchemyStore:
        return False
    if sql not in _schemas:
        _schemas[sql] = store.patience(partial(_schema, sql))
    return _schemas[sql] in KNOWN_SCHEMAS


_schemas: WeakKeyDictionary[object, str] = WeakKeyDictionary()


def _schema(sql: Any) -> str:
    with sql.ManagedSessionMaker() as session:
        return str(session.execute(text("SELECT version_num FROM alembic_version")).scalar())


class BulkWriter:
    """Writes the rows that MLflow's client would have written."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.sql: Any = store.backend
        location = store.client.get_experiment(store.experiment_id).artifact_location
        self.artifacts = location.rstrip("/")
        self.datasets: dict[DatasetRecord, str] = {}

    def write(self, records: Sequence[RunRecord]) -> Iterator[str]:
        """The runs' ids in the order given, each once it is on record.

        A sweep's job is on record once: one that another process brought to its end stays, any other is
        replaced.
        """
        fresh = _ascending_ids(len(records))
        pending = ((record.run_id or run_id, record) for run_id, record in zip(fresh, records, strict=True))
        while part := list(islice(pending, RUNS_A_TRANSACTION)):
            self.store.patience(partial(self._put, part))
            yield from (run_id for run_id, _ in part)
        if len(records) >= MANY and self.sql.db_type in ("sqlite", "postgresql"):
            with suppress(MlflowException):  # the runs are on record
                self._analyze()

    def _put(self, part: list[tuple[str, RunRecord]]) -> None:
        """In one transaction; tried again where another client was quicker with the same job or dataset."""
        for attempt in range(1, TRIES + 1):
            try:
                with self.sql.ManagedSessionMaker(read_only=False) as session:
                    self._insert(session, part)
                return
            except MlflowException as error:
                self.datasets.clear()  # of those that this transaction made, none is there
                if attempt == TRIES or not isinstance(error.__cause__, IntegrityError):
                    raise

    def _insert(self, session: Session, part: list[tuple[str, RunRecord]]) -> None:
        if self.sql.db_type == "sqlite":
            # Of this session alone. All that a row refers to is written beside it, or looked for here
            session.execute(text("PRAGMA foreign_keys = OFF"))
        begin(session, self.sql)
        self._require_experiment(session)
        done = _make_room(session, [run_id for run_id, record in part if record.run_id])
        part = [one for one in part if one[0] not in done]
        inputs = [self._input(session, run_id, record) for run_id, record in part if record.dataset]
        insert_rows(session, models.SqlRun, [self._run(run_id, record) for run_id, record in part])
        insert_rows(session, models.SqlTag, [row for one in part for row in rows.tags(*one)])
        insert_rows(session, models.SqlParam, [row for one in part for row in rows.params(*one)])
        insert_rows(session, models.SqlMetric, [row for one in part for row in rows.metrics(*one)])
        insert_rows(
            session, models.SqlLatestMetric, [row for one in part for row in rows.latest_metrics(*one)]
        )
        insert_rows(session, models.SqlInput, inputs)
        insert_rows(session, models.SqlInputTag, [(row[0], *rows.CONTEXT) for row in inputs])

    def _require_experiment(self, session: Session) -> None:
        """Raises MlflowException where it is gone."""
        table = models.SqlExperiment.__table__
        there = table.c.experiment_id == int(self.store.experiment_id)
        if session.execute(select(table.c.name).where(there)).first() is None:
            raise MlflowException(f"experiment {self.store.experiment_id} is gone")

    def _run(self, run_id: str, record: RunRecord) -> Row:
        user = record.tags.get("mlflow.user", "unknown")
        times = (record.start_ms, record.end_ms, None)  # deleted never
        artifacts = f"{self.artifacts}/{run_id}/artifacts"
        source = ("UNKNOWN", "", "")  # type, name and entry point
        head = (run_id, record.name, *source, user, record.status, *times)
        return (*head, "", "active", artifacts, int(self.store.experiment_id))

    def _input(self, session: Session, run_id: str, record: RunRecord) -> Row:
        assert record.dataset is not None
        if record.dataset not in self.datasets:
            self.datasets[record.dataset] = self._dataset_id(session, record.dataset)
        return (secrets.token_hex(16), "DATASET", self.datasets[record.dataset], "RUN", run_id, 0)

    def _dataset_id(self, session: Session, dataset: DatasetRecord) -> str:
        """The id of the experiment's dataset of that name and digest, made where there is none."""
        table, experiment_id = models.SqlDataset, int(self.store.experiment_id)
        known = session.execute(
            select(table.dataset_uuid).where(
                table.experiment_id == experiment_id,
                table.name == dataset.name,
                table.digest == dataset.digest,
            )
        ).scalar()
        if known:
            return str(known)
        dataset_id = secrets.token_hex(16)
        content = (dataset.name, dataset.digest, "local", dataset.source, dataset.schema, dataset.profile)
        insert_rows(session, table, [(dataset_id, experiment_id, *content)])
        return dataset_id

    def _analyze(self) -> None:
        """Let the database see its new rows: a search ordered by a metric is then a hundred times faster."""
        with self.sql.ManagedSessionMaker(read_only=False) as session:
            if self.sql.db_type == "sqlite":
                session.execute(text("PRAGMA analysis_limit=400"))
            session.execute(text("ANALYZE"))


def begin(session: Session, sql: Any) -> None:
    """Begin to write: one transaction, which others that write wait for."""
    if sql.db_type == "sqlite":
        session.execute(text("PRAGMA cache_spill = OFF"))  # readers wait for no more than the commit
        session.execute(text("BEGIN IMMEDIATE"))  # before looking, or another could come in between


def _make_room(session: Session, ids: list[str]) -> set[str]:
    """Which of these runs are on record to their end; what there is of the others is deleted."""
    run, tag = models.SqlRun.__table__, models.SqlTag.__table__
    found = set(session.scalars(select(run.c.run_uuid).where(run.c.run_uuid.in_(ids)))) if ids else set()
    if not found:
        return found
    ended = select(tag.c.run_uuid).where(
        tag.c.run_uuid.in_(found), tag.c.key == "outcome", tag.c.value.in_(DONE)
    )
    whole = (run.c.lifecycle_stage == "active") & run.c.status.not_in(HALF)
    done = set(session.scalars(select(run.c.run_uuid).where(run.c.run_uuid.in_(ended), whole)))
    old = found - done
    inputs = models.SqlInput.__table__
    of_old = (inputs.c.destination_type == "RUN") & inputs.c.destination_id.in_(old)
    used = select(inputs.c.input_uuid).where(of_old)
    session.execute(delete(models.SqlInputTag).where(models.SqlInputTag.input_uuid.in_(used)))
    session.execute(delete(models.SqlInput).where(of_old))
    session.execute(delete(models.SqlLoggedModelMetric).where(models.SqlLoggedModelMetric.run_id.in_(old)))
    session.execute(
        update(models.SqlIssue).where(models.SqlIssue.source_run_id.in_(old)).values(source_run_id=None)
    )
    for of_run in (models.SqlTag, models.SqlParam, models.SqlMetric, models.SqlLatestMetric, models.SqlRun):
        session.execute(delete(of_run).where(of_run.run_uuid.in_(old)))
    return done


def exchange(store: Store, run_id: str, tag: tuple[str, str, str], status: str, name: str) -> bool:
    """What `writer.exchange` does, in one transaction."""
    return store.patience(partial(_exchange, store.backend, run_id, tag, status, name))


def _exchange(sql: Any, run_id: str, tag: tuple[str, str, str], status: str, name: str) -> bool:
    """True, too, where it is done already, for a transaction's answer may be lost."""
    (key, before, now), table, run = tag, models.SqlTag, models.SqlRun
    with sql.ManagedSessionMaker(read_only=False) as session:
        is_mine = session.execute(
            update(table)
            .where(table.run_uuid == run_id, table.key == key, table.value.in_((before, now)))
            .values(value=now)
        ).rowcount
        if is_mine:
            ended = None if status == "RUNNING" else int(time.time() * 1000)
            changed = {"status": status, "name": name, "end_time": ended}
            session.execute(update(run).where(run.run_uuid == run_id).values(**changed))
            named = update(table).where(table.run_uuid == run_id, table.key == "mlflow.runName")
            session.execute(named.values(value=name))
    return bool(is_mine)


def read(store: Store, selection: Selection) -> list[TrackedRun]:
    """What `reader.runs_by_client` gives, by a query per table instead of objects per row.

    Of runs that are not named one by one without the tags `OF_ONE`.
    """
    return store.patience(partial(_found, store, selection))


def _found(store: Store, selection: Selection) -> list[TrackedRun]:
    sql: Any = store.backend
    found: list[TrackedRun] = []
    texts: dict[str, str] = {}  # most are those of many runs
    left_out = () if selection.run_ids else OF_ONE
    with sql.ManagedSessionMaker() as session:
        every = [head for part in _selected(store, selection) for head in _tuples(session, part)]
        heads = [head for *head, stage in every if stage == "active"]
        for start in range(0, len(heads), IDS_A_QUERY):
            found += _read(session, heads[start : start + IDS_A_QUERY], texts, left_out)
    return found


def _tuples(session: Any, query: Select[Any]) -> Iterable[Any]:
    """The driver's own: SQLAlchemy's rows take three times as long."""
    found: Iterable[Any] = session.connection().execute(query).cursor
    return found


def _read(
    session: Any, heads: Sequence[Any], texts: dict[str, str], left_out: Sequence[str]
) -> Iterable[TrackedRun]:
    """Runs from their rows in the table of runs, less some tags; the same text is kept once, in `texts`."""
    latest, tag, param = models.SqlLatestMetric.__table__, models.SqlTag.__table__, models.SqlParam.__table__
    ids = [run_id for run_id, *_ in heads]
    data = _datasets(session, ids)
    runs = {}
    for run_id, name, status, start, experiment in heads:
        digest, summary = data.get(run_id, ("", None))
        about = (start or 0, digest, summary, texts.setdefault(str(experiment), str(experiment)))
        runs[run_id] = TrackedRun(run_id, name, texts.setdefault(status, status), {}, {}, {}, *about)
    for table, part, gone in ((param, "params", ()), (latest, "metrics", (RANK,)), (tag, "tags", left_out)):
        content = {run_id: getattr(each, part) for run_id, each in runs.items()}
        last: dict[str, object] = {}
        wanted = table.c.run_uuid.in_(ids) & table.c.key.not_in(gone)
        query = select(table.c.run_uuid, table.c.key, table.c.value).where(wanted)
        for run_id, key, value in _tuples(session, query):
            if table is not latest:
                value = texts.setdefault(value, value)
            elif value and value == last.get(key):
                value = last[key]  # what is the best fit's is that of many runs
            last[key] = content[run_id][texts.setdefault(key, key)] = value
    return runs.values()


def _datasets(session: Any, ids: Sequence[str]) -> dict[str, tuple[str, DataSummary | None]]:
    """Each run's id, with the digest of its dataset input and what is known of it.

    Neither by a join, nor with inputs of one kind alone: sqlite may begin that with all the inputs there are.
    """
    dataset, used = models.SqlDataset.__table__, models.SqlInput.__table__
    of_runs = (used.c.destination_type == "RUN") & used.c.destination_id.in_(ids)  # as an index has it
    inputs = select(used.c.destination_id, used.c.source_type, used.c.source_id).where(of_runs)
    of_run = {run_id: source for run_id, kind, source in _tuples(session, inputs) if kind == "DATASET"}
    table = select(dataset.c.dataset_uuid, dataset.c.digest, dataset.c.dataset_profile)
    used_here = _tuples(session, table.where(dataset.c.dataset_uuid.in_(set(of_run.values()))))
    known = {dataset_id: (digest, DataSummary.of(profile)) for dataset_id, digest, profile in used_here}
    return {run_id: known[dataset_id] for run_id, dataset_id in of_run.items()}


def _selected(store: Store, selection: Selection) -> Iterator[Select[Any]]:
    """Queries for the selected runs' rows, deleted ones among them."""
    run, tag = models.SqlRun.__table__, models.SqlTag.__table__
    query = select(
        run.c.run_uuid, run.c.name, run.c.status, run.c.start_time, run.c.experiment_id, run.c.lifecycle_stage
    ).where(run.c.experiment_id.in_(map(int, store.experiment_ids)))
    if selection.sweep:
        of_sweep = select(tag.c.run_uuid).where(tag.c.key == "sweep", tag.c.value == selection.sweep)
        query = query.where(run.c.run_uuid.in_(of_sweep))
    if not selection.run_ids:
        yield query
    for start in range(0, len(selection.run_ids), IDS_A_QUERY):
        yield query.where(run.c.run_uuid.in_(selection.run_ids[start : start + IDS_A_QUERY]))


def read_curves(
    store: Store, run_ids: Sequence[str], metric: str = "loss"
) -> dict[str, tuple[list[int], list[float]]]:
    """What `reader.curves_by_client` gives, in one query."""
    return store.patience(partial(_curves, store.backend, run_ids, metric))


def _curves(sql: Any, run_ids: Sequence[str], metric: str) -> dict[str, tuple[list[int], list[float]]]:
    table = models.SqlMetric.__table__
    found: dict[str, tuple[list[int], list[float]]] = {}
    with sql.ManagedSessionMaker() as session:
        points = session.execute(
            select(table.c.run_uuid, table.c.step, table.c.value)
            .where(table.c.key == metric, table.c.run_uuid.in_(run_ids))
            .order_by(table.c.run_uuid, table.c.step)
        )
        for run_id, step, value in points:
            epochs, losses = found.setdefault(run_id, ([], []))
            epochs.append(step)
            losses.append(value)
    return found


def _ascending_ids(count: int) -> list[str]:
    """Run ids (32 hex digits): the time, a random number, and the place in the batch.

    Ascending, so that each insertion goes to the end of the indexes.
    """
    stem = f"{int(time.time() * 1000):012x}{secrets.token_hex(6)}"
    return [f"{stem}{place:08x}" for place in range(count)]
