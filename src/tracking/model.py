"""A run's calibration as a model: from the record alone, logged with its run, registered, loaded back."""

from __future__ import annotations

import json
import logging
import re
import tempfile
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.pyfunc.model import PythonModelContext

from .. import data, package
from ..config import ConfigError, one_line, without_passwords
from ..data import Pairs
from ..functions import Function, resolve
from ..models import MODELS
from ..polynomial import is_polynomial
from ..spelling import DATA
from . import ranking, reader, standalone
from .calibration_model import CalibrationModel
from .dataset import DatasetRecord, is_trained_on
from .limits import LONGEST_TAG, cut
from .record import CHANGE, DATA_DIGEST, NOTE, TrackedRun, rebuild
from .selection import Selection, quoted
from .store import Store

NAME = "calibration"  # of a run's model
UNCERTAINTY = "uncertainty"  # the tag of a run, and the key in a model's config

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


@dataclass(frozen=True)
class Predictor:
    """A calibration at work: a frame with the column `input` gives `target`, and the other way round.

    `of` says whose it is; `predict` is `CalibrationModel.predict` of a frame and, if need be, of its params;
    `has_uncertainty`: whether there is any on record.
    """

    of: str
    input: str
    target: str
    predict: Callable[..., pd.DataFrame]
    has_uncertainty: bool


def config_of(run: TrackedRun, dataset: DatasetRecord) -> dict[str, Any]:
    """What `calibration_model` needs to know, from what is on record; all of it goes into JSON.

    Raises ConfigError for a run that has no usable parameters.
    """
    function = function_of(run)
    known = _parameters(run)
    try:
        readings = json.loads(dataset.profile)["input"]
        input_range = [float(readings["min"]), float(readings["max"])]
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"run {run.run_id} has no range of its readings on record: train it again"
        ) from error
    return {
        **known,
        "polynomial": is_polynomial(standalone.numeric(function), len(known["params"])),
        "input": run.params["data_input"],
        "target": run.params["data_target"],
        "input_range": input_range,
        UNCERTAINTY: _uncertainty(run),
    }


def _uncertainty(run: TrackedRun) -> dict[str, Any] | None:
    """As training put it on record for `band`; None of a run that is not trained enough, or is older."""
    try:
        found: dict[str, Any] | None = json.loads(run.tags.get(UNCERTAINTY, "null"))
    except ValueError as error:
        raise ConfigError(
            f"run {run.run_id} has a tag {UNCERTAINTY} that is not JSON: train it again"
        ) from error
    return found


def function_of(run: TrackedRun) -> Function:
    """The run's model; raises ConfigError where it is not to be had."""
    if run.is_parent or "model" not in run.params:
        raise _unusable(run)
    try:
        return resolve(run.params["model"], MODELS)
    except LookupError as error:
        raise ConfigError(f"run {run.run_id} has no calibration without its model: {error}") from error


def _parameters(run: TrackedRun) -> dict[str, Any]:
    """As trained, for raw ones lose digits; as a list, for by name they would come back sorted by name."""
    found = run.calibration()
    if found is None:
        raise _unusable(run)
    params, about = found
    return {"params": list(params.values()), "shift": about.shift, "scale": about.scale}


def _unusable(run: TrackedRun) -> ConfigError:
    return ConfigError(f"run {run.run_id} {_why_unusable(run)}: give best, or another run")


def _why_unusable(run: TrackedRun) -> str:
    if run.is_parent or "model" not in run.params:
        return f"is the parent of a sweep, or not a run of {package.NAME}.train, and has no calibration"
    if run.outcome == "diverged":
        return f"diverged and has no calibration ({run.tags.get('reason', 'no reason on record')})"
    return f"{run.outcome} and has no calibration"


@dataclass(frozen=True)
class Best:
    """An experiment's best run, and in words what was left out for it; empty for nothing."""

    run: TrackedRun
    remark: str


def where_best(store: Store, default: str) -> str:
    """The experiment in which to look for the best run: the default one, or else the only one with runs."""
    experiments = store.client.search_experiments()
    if default in (each.name for each in experiments):
        return default
    ours = "tags.outcome LIKE '%'"
    used = [
        each.name
        for each in experiments
        if store.client.search_runs([each.experiment_id], ours, max_results=1)
    ]
    return used[0] if len(used) == 1 else default


def best(store: Store) -> Best:
    """The experiment's best run, in the order of `ranking`, on the data as their file holds them now.

    Where no run is on these, or the file is gone, on the data that were trained on last. Raises ConfigError
    where there is none, or where runs on several files leave open which calibration is meant.
    """
    runs = reader.runs(store, Selection())
    usable = [run for run in runs if run.status == "FINISHED" and ranking.best([run])]
    if not usable:
        name = store.client.get_experiment(store.experiment_id).name
        raise ConfigError(
            f"no run of the experiment {name} has a calibration: "
            f"train some with {package.command('train')}, or give another --experiment"
        )
    parts = ranking.data_sets(usable)
    first, *others = dict.fromkeys(_file(part[0]) for part in parts)
    if others:
        raise ConfigError(
            f"best of which? There are runs on {first} and on {others[0]}: give a run's id, "
            "and keep each calibration in an experiment, by tracking.experiment=NAME"
        )
    newest = max(parts, key=ranking.newest)
    pairs = _pairs(store, newest[0])
    chosen = [run for run in usable if pairs and is_trained_on(run, pairs)]
    remarks = []
    if pairs and not chosen:
        remarks.append(f"{pairs.settings.path} has changed since: train on it as it is now")
    chosen = chosen or newest
    if left_out := len(usable) - len(chosen):
        remarks.append(f"{left_out:,} run{'s' * (left_out > 1)} on other data left out")
    if losses := ranking.several_losses(chosen):
        remarks.append(
            f"under {losses[0]}, which cannot be compared with losses under {', '.join(losses[1:])}"
        )
    return Best(ranking.best_first(chosen)[0], "; ".join(remarks))


def _file(run: TrackedRun) -> str:
    """Which columns of which file a run was trained on."""
    path, *columns = (run.params.get(key, "?") for key in DATA)
    return f"{path} ({' to '.join(columns)})"


def _pairs(store: Store, run: TrackedRun) -> Pairs | None:
    """What a run's file holds now; None where it is gone, or holds no data any more."""
    try:
        settings = rebuild(run, reader.dataset(store, run.run_id))
        return data.load(settings.data, n_parameters=1)
    except ConfigError:
        return None


def of_run(store: Store, run: TrackedRun) -> Predictor:
    """A run's calibration, from its record alone. Raises ConfigError for a run that has none."""
    config = config_of(run, reader.dataset(store, run.run_id))
    model = CalibrationModel(standalone.numeric(function_of(run)))
    model.load_context(PythonModelContext({}, config))  # type: ignore[no-untyped-call]
    of = f"{run.name}, run {run.run_id}"

    def predict(frame: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        return model.predict(None, frame, params)

    return Predictor(of, config["input"], config["target"], predict, config[UNCERTAINTY] is not None)


def check_registration(name: str | None, digests: Collection[str]) -> None:
    """Raises ConfigError where models of several data sets would have one name: the last one's."""
    if name is not None and len(digests) > 1:
        [first, *_] = sorted(digests)
        raise ConfigError(
            f"register {name}: there are {len(digests)} data sets, and a name is for one model: "
            f"leave it out, and register one data set's best, as by {package.command('compare')} "
            f"--filter \"tags.{DATA_DIGEST} = '{first}'\" --register {name}"
        )


def load(store: Store, uri: str) -> Predictor:
    """A logged or registered model by its `models:/` address; `models:/NAME` is the latest version.

    Raises ConfigError where there is no such model, or it is not this project's.
    """
    name = uri.removeprefix("models:/")
    is_latest = not re.search("[/@]", name) and not re.fullmatch("m-[0-9a-f]{32}", name)
    try:
        with warnings.catch_warnings(action="ignore"):  # of versions a little newer than the model's
            address = f"{uri}/latest" if is_latest else uri
            model = store.patience_of_registry(lambda: mlflow.pyfunc.load_model(address))
    except (MlflowException, OSError, ImportError) as error:
        raise _no_model(store, uri, one_line(error)) from error
    config = model.model_config
    if not {"params", "input", "target", "input_range"} <= set(config):
        raise ConfigError(
            f"{uri} is not a calibration of {package.NAME}.train: load it with mlflow.pyfunc.load_model"
        )

    def predict(frame: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        known = model.metadata.get_params_schema() is not None
        try:
            answers: pd.DataFrame = model.predict(frame, params if known else None)
        except MlflowException as error:  # of an older model, which takes less
            raise ConfigError(f"{uri}: {one_line(error)}") from error
        return answers

    has_uncertainty = config.get(UNCERTAINTY) is not None
    return Predictor(uri, config["input"], config["target"], predict, has_uncertainty)


def run_id(store: Store, uri: str) -> str:
    """The run that a model is of, by its address; raises ConfigError where there is no such model."""
    name, _, version = uri.removeprefix("models:/").partition("/")
    client = store.client
    try:
        if re.fullmatch("m-[0-9a-f]{32}", name):
            found = client.get_logged_model(name).source_run_id
        elif "@" in name:
            found = client.get_model_version_by_alias(*name.split("@")).run_id
        elif version.isdigit():
            found = client.get_model_version(name, version).run_id
        else:
            newest = client.search_model_versions(f"name = {quoted(name)}", 1, ["version_number DESC"])
            found = newest[0].run_id if newest else None
    except MlflowException as error:
        raise _no_model(store, uri, one_line(error)) from error
    if not found:
        raise _no_model(store, uri, "there is none, or it is of no run")
    return str(found)


def _no_model(store: Store, uri: str, why: str) -> ConfigError:
    known = ", ".join(each.name for each in store.client.search_registered_models())
    return ConfigError(f"{uri} cannot be loaded: {why}; the store's registered models: {known or 'none'}")


def earlier(store: Store, run: TrackedRun, name: str) -> tuple[str, str] | None:
    """The newest version under a name that is of another run, before this run's own: its address and its run.

    None where there is none.
    """
    found = store.client.search_model_versions(f"name = {quoted(name)}", order_by=["version_number DESC"])
    own = [int(each.version) for each in found if each.run_id == run.run_id]
    before = [
        each for each in found if each.run_id != run.run_id and (not own or int(each.version) < min(own))
    ]
    return (f"models:/{name}/{before[0].version}", str(before[0].run_id)) if before else None


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
    return Logged(model.model_id, experiment_id, register, _register(store, model, run, register))


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


def _register(store: Store, model: LoggedModel, run: TrackedRun, name: str) -> str:
    """The model's version under that name, made where there is none."""
    client, source = store.client, f"models:/{model.model_id}"
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise

    def known() -> str | None:
        found = client.search_model_versions(f"run_id = '{run.run_id}'")
        return next((str(each.version) for each in found if (each.name, each.source) == (name, source)), None)

    def create() -> str:
        created = client.create_model_version(
            name,
            source,
            run.run_id,
            description=client.get_run(run.run_id).data.tags.get(NOTE),  # which `reader.runs` may leave out
            await_creation_for=0,  # there is nothing to wait for, and MLflow would say that it waits
            model_id=model.model_id,
        )
        return str(created.version)

    return known() or store.patience(create, known)
