"""Put complete runs on record. A run that is not complete is never begun."""

from __future__ import annotations

from collections.abc import Sequence

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from src.tracking.record import DatasetRecord, RunRecord
from src.tracking.store import Store

# MLflow's limits: a longer value is cut, with a mark that it was
LONGEST_NAME = 250
LONGEST_PARAM = 6000
LONGEST_TAG = 8000
MOST_METRICS_A_CALL = 1000


class ClientWriter:
    """Writes through MLflow's public API: any store, a few calls a run."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def write(self, records: Sequence[RunRecord]) -> list[str]:
        """The new runs' ids, in the order given."""
        return [self._write(record) for record in records]

    def _write(self, record: RunRecord) -> str:
        client = self.store.client
        tags = {key: cut(value, LONGEST_TAG) for key, value in record.tags.items()}
        if record.parent_id:
            tags["mlflow.parentRunId"] = record.parent_id
        run_id = client.create_run(
            self.store.experiment_id,
            start_time=record.start_ms,
            tags=tags,
            run_name=cut(record.name, LONGEST_NAME),
        ).info.run_id
        status = "KILLED"  # of a run whose writing is cut short
        try:
            if record.dataset:
                self._log_dataset(run_id, record.dataset)
            metrics = metric_rows(record)
            params = [Param(k, cut(v, LONGEST_PARAM)) for k, v in record.params.items()]
            client.log_batch(run_id, metrics[: MOST_METRICS_A_CALL - 100], params)
            status = record.status
        finally:
            client.set_terminated(run_id, status, record.end_ms)
        return str(run_id)

    def _log_dataset(self, run_id: str, dataset: DatasetRecord) -> None:
        inputs = [dataset_input(dataset)]
        try:
            self.store.client.log_inputs(run_id, inputs)
        except MlflowException:  # another process logged the same dataset for the first time
            self.store.client.log_inputs(run_id, inputs)


def metric_rows(record: RunRecord) -> list[Metric]:
    """The loss curve, step = epoch, and the final metrics at step 0."""
    at = record.end_ms
    curve = [Metric("loss", loss, at, epoch) for epoch, loss in record.curve]
    return curve + [Metric(key, value, at, 0) for key, value in record.metrics.items()]


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


def run_tags(record: RunRecord) -> list[RunTag]:
    """The tags of a record as MLflow's entities."""
    return [RunTag(key, cut(value, LONGEST_TAG)) for key, value in record.tags.items()]


def cut(text: str, longest: int) -> str:
    """At most `longest` characters; an ellipsis marks what was cut.

    >>> cut("calibration", 6)
    'calib…'
    """
    return text if len(text) <= longest else text[: longest - 1] + "…"
