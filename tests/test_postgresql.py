"""A real PostgreSQL gets what MLflow's client would write, each run once, whoever else writes there."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from sqlalchemy import create_engine, make_url, text

from src.settings import Origin
from src.tracking import bulk, kept, patience, ranks
from src.tracking.record import RunRecord, job_id
from src.tracking.selection import Selection
from src.tracking.store import Store, open_store
from src.tracking.writer import ClientWriter, open_writer
from tests.test_writers import PLAIN, RECORDS, assert_readers_agree, everything

pytestmark = pytest.mark.slow

POINTS = list(range(1, 201))
LOSSES = {"loss": [1 / epoch for epoch in POINTS]}


@pytest.fixture
def store(
    postgresql: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    """An experiment of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgresql)
    store = open_store(request.node.name)
    yield store
    store.backend.engine.dispose()  # type: ignore[attr-defined]


def jobs(sweep: str, count: int) -> list[RunRecord]:
    curve = replace(PLAIN, epochs=POINTS, curves=LOSSES)
    tags = PLAIN.tags | {"sweep": sweep}
    return [replace(curve, run_id=job_id(sweep, job), tags=tags | {"job": str(job)}) for job in range(count)]


def rows_of(store: Store) -> list[tuple[int, ...]]:
    """How many rows each run of the experiment has: in runs, tags, params, metrics, inputs."""
    counts = [
        f"(SELECT count(*) FROM {table} t WHERE t.{key} = runs.run_uuid)"
        for table, key in (
            ("tags", "run_uuid"),
            ("params", "run_uuid"),
            ("metrics", "run_uuid"),
            ("latest_metrics", "run_uuid"),
            ("inputs", "destination_id"),
        )
    ]
    sql: Any = store.backend
    with sql.ManagedSessionMaker() as session:
        query = f"SELECT {', '.join(counts)} FROM runs WHERE experiment_id = {store.experiment_id}"
        return [tuple(row) for row in session.execute(text(query))]


def whole(record: RunRecord) -> tuple[int, ...]:
    """The rows that a run of this record has; its name is a tag, too."""
    metrics = len(record.metrics)
    curves = len(record.curves)
    return (
        len(record.tags) + 1,
        len(record.params),
        metrics + curves * len(record.epochs),
        metrics + curves,
        1,
    )


def test_both_writers_and_readers_agree(store: Store) -> None:
    told: list[list[dict[str, object]]] = []
    for writer in (ClientWriter(store), open_writer(store)):
        told.append([everything(store, run_id) for run_id in writer.write(RECORDS)])
    assert isinstance(writer, bulk.BulkWriter)
    by_client, by_bulk = told
    assert by_client == by_bulk
    assert_readers_agree(store, Selection())
    list(writer.write([PLAIN] * bulk.MANY))  # and ANALYZE


def test_two_clients_write_the_same_jobs_at_once(store: Store) -> None:
    """As where a sweep is resumed twice: each job is on record once, and whole, for either to go on."""
    both = [store, replace(store, client=MlflowClient(store.uri))]
    records, begin = jobs("sweep-1", 300), threading.Barrier(2)

    def write(mine: Store) -> Sequence[str]:
        begin.wait()
        return [run_id for part in range(0, 300, 50) for run_id in _write(mine, records[part : part + 50])]

    with ThreadPoolExecutor(2) as pool:
        ids = list(pool.map(write, both))
    assert ids[0] == ids[1] == [record.run_id for record in records]
    assert rows_of(store) == [whole(records[0])] * 300


def _write(store: Store, records: list[RunRecord]) -> list[str]:
    return list(bulk.BulkWriter(store).write(records))


def test_connections_cut_while_thousands_of_rows_go_in(
    store: Store, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What was cut off is not there by half, and is tried again until it is there."""
    monkeypatch.setattr(patience, "LONGEST_PAUSE_S", 0.1)
    monkeypatch.setattr(patience, "MOMENT_S", 0.0)
    records, over, cut = jobs("sweep-2", 1500), threading.Event(), []
    busy = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE query LIKE 'COPY metrics%' AND pid <> pg_backend_pid() AND state = 'active'"
    )

    def meddle() -> None:
        engine = create_engine(store.uri, isolation_level="AUTOCOMMIT")
        with engine.connect() as other:
            while not over.wait(0.01) and sum(cut) < 5:
                cut.append(other.execute(text(busy)).scalar() or 0)
        engine.dispose()

    with ThreadPoolExecutor(1) as pool:
        meddling = pool.submit(meddle)
        try:
            ids = kept.write(store, records, Origin())
        finally:
            over.set()
        meddling.result()
    assert sum(cut) > 0
    assert ids == [record.run_id for record in records]
    assert set(rows_of(store)) == {whole(records[0])}
    assert len(rows_of(store)) == 1500
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert "waiting for the tracking store" in said


@contextmanager
def away(uri: str, seconds: float) -> Iterator[None]:
    """Inside, the database takes no connection for a while, and those it had are cut."""
    url = make_url(uri)
    engine = create_engine(url.set(database="template1"), isolation_level="AUTOCOMMIT")
    with engine.connect() as other:
        allow = f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS '
        other.execute(text(allow + "false"))
        other.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": url.database},
        )
        back = threading.Timer(seconds, lambda: other.execute(text(allow + "true")))
        back.start()
        try:
            yield
        finally:
            back.join()
    engine.dispose()


def test_a_database_that_is_away_for_a_moment(store: Store) -> None:
    """Whatever is asked of it meanwhile is asked again, not its writing alone."""
    [run_id] = _write(store, jobs("sweep-3", 1))
    asked: dict[str, Callable[[], Any]] = {
        "knows": lambda: bulk.knows(store),
        "read": lambda: [run.run_id for run in bulk.read(store, Selection(run_ids=(run_id,)))],
        "curves": lambda: len(bulk.read_curves(store, [run_id])[run_id][0]),
        "exchange": lambda: bulk.exchange(store, run_id, ("job", "0", "1"), "KILLED", "name"),
        "ranks": lambda: ranks.record_in_bulk(store, {run_id: 7}),
    }
    bulk._schemas.clear()
    with away(store.uri, 1.5), ThreadPoolExecutor(len(asked)) as pool:
        answers = [each.result() for each in [pool.submit(step) for step in asked.values()]]
    assert answers == [True, [run_id], 200, True, None]
    run = store.client.get_run(run_id)
    assert (run.info.status, run.data.tags["job"], run.data.metrics["rank"]) == ("KILLED", "1", 7)
