"""Put complete runs on record. A run that is not complete is never begun."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import asdict
from typing import Any, Protocol

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, ErrorCode

from ..workplace import Process, digest
from . import bulk
from .dataset import DatasetRecord
from .patience import AT_ONCE
from .record import AT_WORK, JOB, RunRecord, TrackedRun
from .selection import quoted
from .store import Store

KEY = "key"  # the tag by which a client finds a run that is no job of a sweep


class Writer(Protocol):
    """Puts complete runs on record."""

    def write(self, records: Sequence[RunRecord]) -> Iterator[str]:
        """The runs' ids in the order given, each once it is on record."""
        ...


def open_writer(store: Store, again: bool = False) -> Writer:
    """The fastest writer that serves this store; `again` where some of the runs may be on record already."""
    return bulk.BulkWriter(store) if bulk.knows(store) else ClientWriter(store, again)


def exchange(store: Store, run_id: str, tag: tuple[str, str, str], status: str, name: str) -> bool:
    """Give a run a status and a name, and a tag's value (key, before, now) another, where that is as before.

    Of several processes at once one is told True. A server lets a tag change whatever it was, but no param:
    so it is who first says in one what comes after the value before.
    """
    if bulk.knows(store):
        return bulk.exchange(store, run_id, tag, status, name)
    key, before, now = tag
    client = store.client
    run = client.get_run(run_id)
    if value_of(run, key) != before or _after(key, now) in run.data.params:  # nor do they go in a circle
        return False
    if now != before:
        try:
            client.log_param(run_id, _after(key, before), now)
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(INVALID_PARAMETER_VALUE):
                raise
            return False  # another was first
        client.set_tag(run_id, key, now)
    client.update_run(run_id, status, name)
    if value_of(client.get_run(run_id), key) != now:  # another took it meanwhile, and has it RUNNING
        client.update_run(run_id, "RUNNING")
        return False
    return True


def value_of(run: Run, key: str) -> str:
    """That of a tag which is exchanged: who exchanged it may have died before the tag said so."""
    value = str(run.data.tags.get(key, ""))
    while after := run.data.params.get(_after(key, value)):
        value = after
    return value


def _after(key: str, value: str) -> str:
    """The param that says what came after a value of a tag."""
    return f"{key}_after_{digest(value)}"


class ClientWriter:
    """Writes through MLflow's public API: any store, a few calls a run, to a server several runs at a time.

    What is written by half is RUNNING, or KILLED: a run has its status last. So `again` what was trained to
    its end stays, and any other run of the same job is replaced, as by the fast writer.
    """

    def __init__(self, store: Store, again: bool = False) -> None:
        self.store, self.again = store, again
        self.at_once = AT_ONCE if store.is_server else 1

    def write(self, records: Sequence[RunRecord]) -> Iterator[str]:
        """The runs' ids in the order given, each once it is on record."""
        with ThreadPoolExecutor(self.at_once) as pool:
            # in copies of this context, for the bar is a part of it
            yield from pool.map(lambda context, each: context.run(self._write, each), _copies(), records)

    def _write(self, record: RunRecord) -> str:
        client = self.store.client
        found = self._found(record) if self.again else []
        done = next(filter(_is_done, found), None)
        for each in found:
            if each is not done:
                self._delete(each.info.run_id)
        if done:
            return str(done.info.run_id)
        if record.replaces:
            self._delete(record.replaces)
        run_id = self._create(record)
        try:
            if record.dataset:
                self._log_dataset(run_id, record.dataset)
            params = [Param(key, value) for key, value in record.params.items()]
            client.log_batch(run_id, _metrics(record), params)
        except BaseException:
            with suppress(MlflowException):  # else the next command does it
                client.set_terminated(run_id, "KILLED", record.end_ms)
            raise
        client.set_terminated(run_id, record.status, record.end_ms)
        return run_id

    def _create(self, record: RunRecord) -> str:
        # the store chooses the id, and has the run before its values
        tags = record.tags | {AT_WORK: json.dumps(asdict(Process.this()))} | _key(record)
        return create_run(
            self.store, _where(record), start_time=record.start_ms, tags=tags, run_name=record.name
        )

    def _found(self, record: RunRecord) -> Sequence[Run]:
        """What there is of it on record."""
        runs: Sequence[Run] = self.store.client.search_runs([self.store.experiment_id], _where(record))
        return runs

    def _delete(self, run_id: str) -> None:
        """Unless it is: of an answer that was lost the repetition is refused."""
        try:
            self.store.client.delete_run(run_id)
        except MlflowException:
            if self.store.client.get_run(run_id).info.lifecycle_stage == "active":
                raise

    def _log_dataset(self, run_id: str, dataset: DatasetRecord) -> None:
        inputs = [dataset_input(dataset)]
        try:
            self.store.client.log_inputs(run_id, inputs)
        except MlflowException:  # another process logged the same dataset for the first time
            self.store.client.log_inputs(run_id, inputs)


def create_run(store: Store, where: str, **given: Any) -> str:
    """The id of a new run; one that was made though the answer was lost is found by `where`."""

    def create() -> str:
        return str(store.client.create_run(store.experiment_id, **given).info.run_id)

    def created() -> str | None:
        running = f"{where} and attributes.status = 'RUNNING'"
        found = store.client.search_runs([store.experiment_id], running)
        return str(found[0].info.run_id) if found else None

    return store.patience(create, created)


def _copies() -> Iterator[Context]:
    while True:
        yield copy_context()


def _is_done(run: Run) -> bool:
    """Whether a run on record was trained to its end."""
    return TrackedRun(run.info.run_id, "", run.info.status, {}, {}, run.data.tags).is_done


def _key(record: RunRecord) -> dict[str, str]:
    """The tag by which a run is found again that is no job of a sweep; a job has its own."""
    return {} if JOB in record.tags else {KEY: record.run_id}


def _where(record: RunRecord) -> str:
    """By what a run is found that may be on record."""
    tags = _key(record) or {key: record.tags[key] for key in ("sweep", JOB)}
    return " and ".join(f"tags.{key} = {quoted(value)}" for key, value in tags.items())


def _metrics(record: RunRecord) -> list[Metric]:
    """The curves, step = epoch, and the final metrics at step 0."""
    at = record.end_ms
    curves = [
        Metric(key, value, at, epoch)
        for key, values in record.curves.items()
        for epoch, value in zip(record.epochs, values, strict=True)
    ]
    return curves + [Metric(key, value, at, 0) for key, value in record.metrics.items()]


def dataset_input(dataset: DatasetRecord) -> DatasetInput:
    """As MLflow's own `log_input(..., context="training")` makes it."""
    return DatasetInput(
        Dataset(
            name=dataset.name,
            digest=dataset.digest,
            source_type="local",
            source=dataset.source,
            schema=dataset.schema,
            profile=dataset.profile,
        ),
        [InputTag("mlflow.data.context", "training")],
    )
