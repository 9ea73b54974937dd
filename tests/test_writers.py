"""The fast writer and MLflow's client put the same on record, field by field."""

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from sqlalchemy import event, text

from src.settings import Origin
from src.tracking import bulk, kept, ranks, reader
from src.tracking.dataset import DatasetRecord
from src.tracking.record import AT_WORK, OF_ONE, RunRecord
from src.tracking.selection import Selection
from src.tracking.store import Store, open_store
from src.tracking.writer import KEY, ClientWriter, Writer, open_writer

OF_CLIENT = (KEY, AT_WORK)  # tags by which a run is found that a client left by half
DATASET = DatasetRecord("pairs", "0123456789abcdef", '{"uri": "pairs.csv"}', '{"mlflow_colspec": []}', "{}")
PLAIN = RunRecord(
    name="lr=0.01 zscore 5000",
    status="FINISHED",
    start_ms=1_700_000_000_000,
    end_ms=1_700_000_001_234,
    params={"lr": "0.01", "normalization": "zscore"},
    metrics={"w": 0.5367719209, "b": -17.3, "loss_gap": 1e-300, "lr_over_limit": 1e-2},
    epochs=(1, 2, 5000),
    curves={"loss": (80.36434173583984, 3.0, 2.927645206451416)},
    tags={"outcome": "converged", "mlflow.user": "somebody", "sweep": "s", "mlflow.note.content": "é…😀"},
    dataset=DATASET,
)
RECORDS = [
    PLAIN,
    replace(PLAIN, name="no curve", epochs=(), curves={}, metrics={}, status="KILLED"),
    replace(PLAIN, name="one point", epochs=(1,), curves={"loss": (1763.8846435546875,)}, metrics={"w": 1.0}),
    replace(
        PLAIN, name="a hundred", epochs=range(1, 101), curves={"loss": [1 / epoch for epoch in range(1, 101)]}
    ),
    replace(
        PLAIN, name="as large as float32", epochs=(1, 2), curves={"loss": (3.4e38, 1e-45)}, status="FAILED"
    ),
    replace(PLAIN, name="a path", epochs=(1, 2), curves={"loss": (2.0, 1.0), "path_w": (0.0, 0.5)}),
    replace(PLAIN, name="ties", epochs=(1, 2), curves={"loss": (1.0, 1.0)}, dataset=None),
    replace(PLAIN, name="other data", dataset=replace(DATASET, digest="fedcba9876543210")),
    replace(
        PLAIN, name="x" * 250, params={"data": "y" * 6000}, tags={"overrides": "z" * 8000, "mlflow.user": "u"}
    ),
    replace(PLAIN, name="child", tags={**PLAIN.tags, "mlflow.parentRunId": "0" * 32}),
]


@pytest.fixture
def stores(
    migrated_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Store]]:
    def fresh(name: str) -> Store:
        (tmp_path / name).mkdir()
        shutil.copy(migrated_store, tmp_path / name / "mlflow.db")
        monkeypatch.chdir(tmp_path / name)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / name / 'mlflow.db'}")
        return open_store("thermometer")

    return fresh


def everything(store: Store, run_id: str) -> dict[str, object]:
    """All that MLflow's API tells of a run, without the ids that are random."""
    run = store.client.get_run(run_id)
    info = dict(run.info) | {"artifact_uri": Path(run.info.artifact_uri).name}
    assert run.info.artifact_uri.endswith(f"/{store.experiment_id}/{run_id}/artifacts")
    keys = run.data.metrics
    return {
        "info": {key: value for key, value in info.items() if key not in ("run_id", "run_uuid")},
        "params": run.data.params,
        "tags": {key: value for key, value in run.data.tags.items() if key not in OF_CLIENT},
        "metrics": keys,
        "curves": {
            key: [dict(p) | {"run_id": ""} for p in store.client.get_metric_history(run_id, key)]
            for key in keys
        },
        "inputs": [
            (dict(one.dataset), [(tag.key, tag.value) for tag in one.tags])
            for one in run.inputs.dataset_inputs
        ],
        "outputs": run.outputs and run.outputs.to_dictionary(),
    }


def found_in_order(store: Store, order_by: str) -> list[str]:
    return [run.info.run_name for run in store.client.search_runs([store.experiment_id], order_by=[order_by])]


def test_both_writers_leave_the_same_behind(stores: Callable[[str], Store]) -> None:
    told: dict[str, list[dict[str, object]]] = {}
    orders: dict[str, list[list[str]]] = {}
    writers: dict[str, Callable[[Store], Writer]] = {"client": ClientWriter, "bulk": bulk.BulkWriter}
    for name, writer in writers.items():
        store = stores(name)
        ids = writer(store).write(RECORDS)
        told[name] = [everything(store, run_id) for run_id in ids]
        orders[name] = [
            found_in_order(store, order_by)
            for order_by in ("metrics.loss ASC", "metrics.w DESC", "params.lr ASC", "attributes.run_name ASC")
        ]
    for client, fast in zip(told["client"], told["bulk"], strict=True):
        assert client == fast
    assert orders["client"][-1] == orders["bulk"][-1]
    for by_client, by_bulk in zip(orders["client"], orders["bulk"], strict=True):
        assert sorted(by_client) == sorted(by_bulk)


def test_rows_are_the_same_table_by_table(stores: Callable[[str], Store]) -> None:
    """What the API does not tell either: every table that the client writes, with ids masked."""
    tables: dict[str, dict[str, list[tuple[object, ...]]]] = {}
    masked = {"run_uuid", "input_uuid", "dataset_uuid", "source_id", "destination_id", "artifact_uri"}
    writers: dict[str, Callable[[Store], Writer]] = {"client": ClientWriter, "bulk": bulk.BulkWriter}
    for name, writer in writers.items():
        store = stores(name)
        list(writer(store).write(RECORDS))
        with store.backend.ManagedSessionMaker() as session:  # type: ignore[attr-defined]
            names = [
                row[0] for row in session.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'"))
            ]
            tables[name] = {}
            for table in names:
                if table in ("experiments", "sqlite_stat1", "sqlite_stat4"):
                    continue
                result = session.execute(text(f"SELECT * FROM {table}"))
                keep = [i for i, column in enumerate(result.keys()) if column not in masked]
                rows = [tuple(row[i] for i in keep) for row in result]
                tables[name][table] = sorted((row for row in rows if row[0] not in OF_CLIENT), key=repr)
    for table, rows in tables["client"].items():
        assert tables["bulk"][table] == rows, table


def assert_readers_agree(store: Store, selection: Selection) -> int:
    """How many runs both find; but for each run's own tags, which are not read where runs are many."""
    by_client = reader.runs_by_client(store, selection)
    for run in [] if selection.run_ids else by_client:
        for key in OF_ONE:
            run.tags.pop(key, None)
    by_bulk = bulk.read(store, selection)
    assert sorted(by_bulk, key=repr) == sorted(by_client, key=repr)
    ids = [run.run_id for run in by_client]
    assert reader.curves(store, ids) == reader.curves_by_client(store, ids)
    return len(by_bulk)


def test_both_readers_tell_the_same(stores: Callable[[str], Store]) -> None:
    store = stores("one")
    swept = {**PLAIN.tags, "sweep": "sweep-1"}
    deleted, *ids = bulk.BulkWriter(store).write([replace(record, tags=swept) for record in RECORDS])
    list(bulk.BulkWriter(store).write(RECORDS))  # of no sweep
    store.client.delete_run(deleted)
    list(bulk.BulkWriter(replace(store, experiment_id=store.client.create_experiment("else"))).write([PLAIN]))
    everywhere = replace(store, experiment_id="")
    assert assert_readers_agree(store, Selection(sweep="sweep-1")) == len(RECORDS) - 1
    assert assert_readers_agree(store, Selection()) == 2 * len(RECORDS) - 1
    assert assert_readers_agree(store, Selection(run_ids=tuple(ids[:3]))) == 3
    assert assert_readers_agree(store, Selection(sweep="sweep-2")) == 0
    assert assert_readers_agree(everywhere, Selection()) == 2 * len(RECORDS)


def test_places_are_the_same_by_both(stores: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest is the place, whatever it was before; no reader takes it for a result."""
    monkeypatch.setattr(bulk, "IDS_A_QUERY", 2)  # as thousands of runs are: some at a time
    told = {}
    for name, record in (("client", ranks.record_by_client), ("bulk", ranks.record_in_bulk)):
        store = stores(name)
        ids = list(bulk.BulkWriter(store).write(RECORDS))
        record(store, {run_id: place for place, run_id in enumerate(ids, start=1)})
        first = [everything(store, run_id)["metrics"] for run_id in ids]
        record(store, {run_id: place for place, run_id in enumerate(reversed(ids), start=1)})
        told[name] = first, [everything(store, run_id)["metrics"] for run_id in ids]
        assert found_in_order(store, "metrics.rank ASC") == [each.name for each in reversed(RECORDS)]
        assert_readers_agree(store, Selection())
        [run] = reader.runs(store, Selection(run_ids=(ids[0],)))
        assert run.metrics == {**PLAIN.metrics, "loss": PLAIN.curves["loss"][-1]}
        assert reader.get(store, ids[0]) == run
    assert told["client"] == told["bulk"]


def test_all_places_or_none(stores: Callable[[str], Store]) -> None:
    store = stores("one")
    [run_id] = bulk.BulkWriter(store).write([PLAIN])
    ranks.record_in_bulk(store, {run_id: 2})
    with pytest.raises(MlflowException, match="FOREIGN KEY"):
        ranks.record_in_bulk(store, {run_id: 1, "0" * 32: 2})
    assert store.client.get_run(run_id).data.metrics["rank"] == 2


def test_a_new_process_finds_the_dataset_that_is_there(stores: Callable[[str], Store]) -> None:
    store = stores("one")
    ids = [run_id for _ in range(2) for run_id in bulk.BulkWriter(store).write([PLAIN])]
    list(ClientWriter(store).write([PLAIN]))
    with store.backend.ManagedSessionMaker() as session:  # type: ignore[attr-defined]
        assert session.execute(text("SELECT count(*) FROM datasets")).scalar() == 1
    assert [len(store.client.get_run(run_id).inputs.dataset_inputs) for run_id in ids] == [1, 1]


def test_ids_ascend_so_that_insertions_append(stores: Callable[[str], Store]) -> None:
    ids = list(bulk.BulkWriter(stores("one")).write([PLAIN] * 600))
    assert ids == sorted(ids)
    assert len(set(ids)) == 600
    assert {len(run_id) for run_id in ids} == {32}


def test_a_database_opened_here_gets_the_fast_writer(stores: Callable[[str], Store]) -> None:
    assert isinstance(open_writer(stores("one")), bulk.BulkWriter)


def test_a_schema_it_does_not_know_gets_the_client(
    stores: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "KNOWN_SCHEMAS", {"000000000000"})
    assert isinstance(open_writer(stores("one")), ClientWriter)


def test_a_client_writes_a_run_again_and_has_it_once(stores: Callable[[str], Store]) -> None:
    """Also one that is no job of a sweep, into a database that the fast writer does not know."""
    store, alone = stores("one"), replace(PLAIN, run_id="1" * 32)
    first = list(ClientWriter(store).write([alone, replace(PLAIN, run_id="2" * 32)]))
    assert list(ClientWriter(store, again=True).write([alone])) == first[:1]
    assert len(store.client.search_runs([store.experiment_id])) == 2


def test_a_transaction_that_fails_leaves_no_half_of_a_run(stores: Callable[[str], Store]) -> None:
    store = stores("one")
    broken = replace(PLAIN, params={"lr": None})  # type: ignore[dict-item]
    with pytest.raises(Exception, match="NOT NULL"):
        list(bulk.BulkWriter(store).write([PLAIN, broken]))
    assert store.client.search_runs([store.experiment_id]) == []


def test_no_row_refers_to_what_is_not_there(stores: Callable[[str], Store]) -> None:
    """sqlite does not look while they are written, but afterwards, and at runs that were replaced, too."""
    store = stores("one")
    jobs = [replace(PLAIN, run_id=f"{job:032x}", tags={"outcome": "killed"}) for job in range(100)]
    for _ in range(2):
        list(bulk.BulkWriter(store).write(jobs))
        model = store.client.create_logged_model(store.experiment_id)
        store.client.log_batch(
            jobs[0].run_id, metrics=[Metric("loss", 1.0, 0, 0, model.model_id, run_id=jobs[0].run_id)]
        )
    with closing(sqlite3.connect("mlflow.db")) as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (100,)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        # the first model's was of a run that is gone
        assert database.execute("SELECT count(*) FROM logged_model_metrics").fetchone() == (1,)


def test_an_experiment_that_is_gone_gets_no_rows(stores: Callable[[str], Store]) -> None:
    store = stores("one")
    writer = bulk.BulkWriter(store)
    with closing(sqlite3.connect("mlflow.db")) as database, database:
        database.execute("DELETE FROM experiment_tags")
        database.execute("DELETE FROM experiments WHERE name = 'thermometer'")
    with pytest.raises(MlflowException, match="experiment 1 is gone"):
        list(writer.write([PLAIN]))
    with closing(sqlite3.connect("mlflow.db")) as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (0,)


def test_a_client_that_fails_in_mid_run_leaves_it_killed_not_running(stores: Callable[[str], Store]) -> None:
    store = stores("one")
    broken = replace(PLAIN, epochs=(1,), curves={"loss": ("x",)})  # type: ignore[arg-type]
    with pytest.raises(Exception, match="value"):
        list(ClientWriter(store).write([broken]))
    assert [run.info.status for run in store.client.search_runs([store.experiment_id])] == ["KILLED"]


DIVERGED = replace(PLAIN, status="FAILED", tags={**PLAIN.tags, "outcome": "diverged"})
KILLED = replace(PLAIN, status="KILLED", tags={**PLAIN.tags, "outcome": "killed"})
CRASHED = replace(PLAIN, status="FAILED", tags={"sweep": "s"}, metrics={})
HALF = replace(PLAIN, status="KILLED", metrics={}, epochs=(), curves={})


@pytest.mark.parametrize("writer", ["client", "bulk"])
@pytest.mark.parametrize(
    ("there", "kept", "stays"),
    [
        (PLAIN, PLAIN, PLAIN),
        (PLAIN, KILLED, PLAIN),
        (PLAIN, CRASHED, PLAIN),
        (DIVERGED, CRASHED, DIVERGED),
        (CRASHED, DIVERGED, DIVERGED),
        (HALF, KILLED, KILLED),
        (HALF, PLAIN, PLAIN),
    ],
)
def test_of_one_job_what_was_trained_to_its_end_stays(
    there: RunRecord, kept: RunRecord, stays: RunRecord, writer: str, stores: Callable[[str], Store]
) -> None:
    """What is put on record again replaces anything less, by both writers, and nothing else."""

    def job(record: RunRecord) -> RunRecord:
        return replace(record, run_id=f"{7:032x}", tags=record.tags | {"job": "7"})

    store = stores("one")
    open_again = {"client": ClientWriter(store, again=True), "bulk": bulk.BulkWriter(store)}
    [first] = (ClientWriter(store) if writer == "client" else open_again[writer]).write([job(there)])
    [last] = open_again[writer].write([job(kept)])
    [run] = store.client.search_runs([store.experiment_id])
    assert run.info.run_id == last
    assert last == first or stays is not there
    assert (run.info.status, run.data.tags.get("outcome")) == (stays.status, stays.tags.get("outcome"))
    assert run.data.metrics.keys() == stays.metrics.keys() | stays.curves.keys()


@pytest.mark.slow
def test_a_reader_gets_answers_while_thousands_of_runs_are_written(stores: Callable[[str], Store]) -> None:
    """At any moment within half a second, and of whole transactions only."""
    store, seen, over = stores("one"), set(), threading.Event()

    def read() -> None:
        while not over.is_set():
            with closing(sqlite3.connect(store.uri.removeprefix("sqlite:///"), timeout=0.5)) as database:
                seen.add(database.execute("SELECT count(*) FROM runs").fetchone()[0])

    with ThreadPoolExecutor(1) as readers:
        reader = readers.submit(read)
        try:
            written = list(bulk.BulkWriter(store).write([RECORDS[3]] * (4 * bulk.RUNS_A_TRANSACTION)))
        finally:
            over.set()
        reader.result()  # raises where it was kept out for longer
    assert len(written) == 4 * bulk.RUNS_A_TRANSACTION
    assert len(seen) > 1
    assert all(count % bulk.RUNS_A_TRANSACTION == 0 for count in seen)


def test_a_search_over_many_runs_uses_what_analyze_found(stores: Callable[[str], Store]) -> None:
    store = stores("one")
    list(bulk.BulkWriter(store).write([PLAIN] * bulk.MANY))
    with store.backend.ManagedSessionMaker() as session:  # type: ignore[attr-defined]
        analyzed = {row[0] for row in session.execute(text("SELECT tbl FROM sqlite_stat1"))}
    assert {"metrics", "latest_metrics", "runs", "params", "tags"} <= analyzed


def test_runs_are_on_record_where_their_indexes_cannot_be_looked_at(stores: Callable[[str], Store]) -> None:
    store = stores("one")

    @event.listens_for(store.backend.engine, "checkout")  # type: ignore[attr-defined]
    def refuse(connection: sqlite3.Connection, *_: object) -> None:
        connection.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ANALYZE else sqlite3.SQLITE_OK
        )

    ids = list(bulk.BulkWriter(store).write([PLAIN] * bulk.MANY))
    assert len(store.client.search_runs([store.experiment_id], max_results=5000)) == len(ids) == bulk.MANY


def test_what_was_kept_is_put_back_once(
    stores: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Though several begin at once, and the store could not tell one run from another."""
    monkeypatch.setattr(bulk, "KNOWN_SCHEMAS", {"000000000000"})
    store, start = stores("one"), threading.Barrier(3)
    kept._keep(store, [replace(PLAIN, run_id=f"{number:032x}") for number in range(5)], Origin())

    def put_back(_: int) -> None:
        start.wait()
        kept.put_back(store, Origin())

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(put_back, range(3)))
    assert len(store.client.search_runs([store.experiment_id])) == 5
    assert capfd.readouterr().out.count("put on record: 5 runs") == 1
    assert [path.name for path in Path.cwd().iterdir()] == ["mlflow.db"]
