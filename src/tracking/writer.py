"""Put complete runs on record. A run that is not complete is never begun."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param
from mlflow.exceptions import MlflowException

from .bulk import BulkWriter
from .bulk import exchange as exchange_in_bulk
from .bulk import knows as bulk_knows
from .dataset import DatasetRecord
from .record import RunRecord
from .store import Store


class Writer(Protocol):
    """Puts complete runs on record."""

    def write(self, records: Sequence[RunRecord]) -> Iterator[str]:
        """The runs' ids in the order given, each once it is on record."""
        ...


def open_writer(store: Store) -> Writer:
    """The fastest writer that serves this store."""
    return BulkWriter(store) if bulk_knows(store) else ClientWriter(store)


def exchange(store: Store, run_id: str, tag: tuple[str, str, str], status: str, name: str) -> bool:
    """Give a run a status and a name, and a tag's value (key, before, now) another, where that is as before.

    Of several processes at once one is told True. A server has no such call: there they may all be.
    """
    if bulk_knows(store):
        return exchange_in_bulk(store, run_id, tag, status, name)
    key, before, now = tag
    if store.client.get_run(run_id).data.tags.get(key) != before:
        return False
    store.client.set_tag(run_id, key, now)
    store.client.update_run(run_id, status, name)
    return True


class ClientWriter:
    """Writes through MLflow's public API: any store, a few calls a run."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def write(self, records: Sequence[RunRecord]) -> Iterator[str]:
        """The runs' ids in the order given, each once it is on record."""
        return map(self._write, records)

    def _write(self, record: RunRecord) -> str:
        client = self.store.client
        run_id = client.create_run(
            self.store.experiment_id, record.start_ms, record.tags, record.name
        ).info.run_id
        status = "KILLED"  # of a run whose writing is cut short
        try:
            if record.dataset:
                self._log_dataset(run_id, record.dataset)
            params = [Param(key, value) for key, value in record.params.items()]
            client.log_batch(run_id, _metrics(record), params)
            status = record.status
        finally:
            client.set_terminated(run_id, status, record.end_ms)
        if record.replaces:
            client.delete_run(record.replaces)
        return str(run_id)

    def _log_dataset(self, run_id: str, dataset: DatasetRecord) -> None:
        inputs = [dataset_input(dataset)]
        try:
            self.store.client.log_inputs(run_id, inputs)
        except MlflowException:  # another process logged the same dataset for the first time
            self.store.client.log_inputs(run_id, inputs)


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
