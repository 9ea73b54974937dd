"""The rows of a run in MLflow's tables, each in the order of the table's columns."""

from __future__ import annotations

from .record import RunRecord

Row = tuple[object, ...]

NOT_NAN = 0  # as sqlite keeps it: each False would be converted by the driver
CONTEXT = ("mlflow.data.context", "training")  # the tag of a dataset input


def tags(run_id: str, record: RunRecord) -> list[Row]:
    """Its tags, and its name, which is one of them."""
    found = record.tags | {"mlflow.runName": record.name}
    return [(key, value, run_id) for key, value in found.items()]


def params(run_id: str, record: RunRecord) -> list[Row]:
    """Its params."""
    return [(key, value, run_id) for key, value in record.params.items()]


def metrics(run_id: str, record: RunRecord) -> list[Row]:
    """The points of its curves, step = epoch, and its final metrics at step 0."""
    at = record.end_ms
    found: list[Row] = [
        (key, value, at, epoch, NOT_NAN, run_id)
        for key, values in record.curves.items()
        for epoch, value in zip(record.epochs, values, strict=True)
    ]
    return found + [(key, value, at, 0, NOT_NAN, run_id) for key, value in record.metrics.items()]


def latest_metrics(run_id: str, record: RunRecord) -> list[Row]:
    """Per key the value at the largest step: each curve's last point, and all that have but one."""
    latest = [(key, value, 0) for key, value in record.metrics.items()]
    latest += [(key, values[-1], record.epochs[-1]) for key, values in record.curves.items()]
    return [(key, value, record.end_ms, step, NOT_NAN, run_id) for key, value, step in latest]
