"""A run's calibration as a model of MLflow's: made from the record alone, and logged with its run."""

from __future__ import annotations

import logging
import tempfile
import warnings
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.models import Model
from mlflow.models.model import MLMODEL_FILE_NAME

from ..config import without_passwords
from . import reader, registry, standalone
from .limits import LONGEST_TAG, cut
from .predictor import config_of
from .record import CHANGE, TrackedRun
from .store import Store

NAME = "calibration"  # of a run's model

# Saving a model tells every step of it; only what goes wrong matters.
for _name in ("mlflow.models", "mlflow.pyfunc", "mlflow.store.artifact"):
    logging.getLogger(_name).setLevel(logging.ERROR)


@dataclass(frozen=True)
class Logged:
    """A run's model in the store; registered, it has a name and a version under that name."""

    model_id: str
    experiment_id: str
    name: str | None = None
    version: str | None = None

    @property
    def uri(self) -> str:
        """What MLflow loads and serves it by."""
        return f"models:/{self.name}/{self.version}" if self.name else f"models:/{self.model_id}"

    def page(self, store: Store) -> str:
        """The address of its page."""
        return replace(store, experiment_id=self.experiment_id).model_page(self.model_id)


def log(store: Store, run: TrackedRun, register: str | None = None, change: str = "") -> Logged:
    """Log a run's model with the run, and register it under a name; what is there already is used again.

    The run stays as it is, finished; the `change` since an earlier version is told of it. Raises ConfigError
    for a run that has no calibration.
    """
    experiment_id = store.client.get_run(run.run_id).info.experiment_id
    model = _logged(store, run.run_id, experiment_id) or _log(store, run, experiment_id)
    if register is None:
        return Logged(model.model_id, experiment_id)
    if change:
        store.client.set_tag(run.run_id, CHANGE, cut(change, LONGEST_TAG))
    version = registry.register(store, model.model_id, run, register)
    return Logged(model.model_id, experiment_id, register, version)


def _logged(store: Store, run_id: str, experiment_id: str) -> LoggedModel | None:
    """The run's model that is there already: complete, not deleted, and with its files."""
    ready = _models(store, run_id, experiment_id, LoggedModelStatus.READY)
    return next((model for model in ready if _has_files(store.client, model)), None)


def _models(store: Store, run_id: str, experiment_id: str, status: LoggedModelStatus) -> list[LoggedModel]:
    """The run's with this status; MLflow's own filter on that finds nothing."""
    of_run = f"source_run_id = '{run_id}' AND name = '{NAME}'"
    found = store.client.search_logged_models([experiment_id], filter_string=of_run)
    return [model for model in found if model.status == status]


def _has_files(client: MlflowClient, model: LoggedModel) -> bool:
    """What somebody cleared away is made anew from the record."""
    return any(file.path == MLMODEL_FILE_NAME for file in client.list_logged_model_artifacts(model.model_id))


def _log(store: Store, run: TrackedRun, experiment_id: str) -> LoggedModel:
    """Not by MLflow's `log_model`, which would write the config into the run's params."""
    config = config_of(run, reader.dataset(store, run.run_id))
    client = store.client
    create = partial(client.create_logged_model, experiment_id, NAME, run.run_id, params=run.params)
    pending = partial(_models, store, run.run_id, experiment_id, LoggedModelStatus.PENDING)
    model = store.patience(create, lambda: next(iter(pending()), None))
    status = LoggedModelStatus.FAILED
    try:
        with tempfile.TemporaryDirectory() as folder:
            _save(Path(folder), model, run.params["model"], config)
            client.log_model_artifacts(model.model_id, str(Path(folder) / NAME))
        client.log_batch(run.run_id, metrics=_metrics(client, run, model.model_id))
        status = LoggedModelStatus.READY
    finally:
        client.finalize_logged_model(model.model_id, status)
    client.log_outputs(run.run_id, [LoggedModelOutput(model.model_id, step=0)])
    return model


def _save(folder: Path, model: LoggedModel, function: str, config: dict[str, Any]) -> None:
    """Into the folder NAME within this one; its code is written beside it first."""
    code = folder / standalone.FILE
    code.write_text(standalone.code(function), encoding="utf-8")
    low, high = config["input_range"]
    with warnings.catch_warnings(action="ignore"), standalone.unsearched():  # MLflow's own, about pandas 4
        mlflow.pyfunc.save_model(
            folder / NAME,
            mlflow_model=Model(
                run_id=model.source_run_id,
                artifact_path=without_passwords(model.artifact_location),
                model_uuid=model.model_id,
                model_id=model.model_id,
            ),
            python_model=code,
            code_paths=standalone.carried(function),
            model_config=config,
            signature=standalone.signature(config["input"], config["target"]),
            input_example=pd.DataFrame({config["input"]: [low, high]}),
            pip_requirements=standalone.requirements(function),
        )


def _metrics(client: MlflowClient, run: TrackedRun, model_id: str) -> list[Metric]:
    """The run's final metrics, at the model too: its page shows them, and ranks by them."""
    histories = [client.get_metric_history(run.run_id, key) for key in run.metrics]
    last = [max(history, key=lambda point: point.step) for history in histories]
    return [
        Metric(each.key, each.value, each.timestamp, each.step, model_id, run_id=run.run_id) for each in last
    ]
