"""Models by address: registered under a name, loaded back; the run that one is of; the version before."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

from .. import package
from ..config import ConfigError, one_line
from .predictor import Predictor
from .record import DATA_DIGEST, NOTE, UNCERTAINTY, TrackedRun
from .selection import quoted
from .store import Store


def check_registration(name: str | None, digests: Collection[str]) -> None:
    """Raises ConfigError where models of several data sets would have one name: the last one's."""
    if name is not None and len(digests) > 1:
        [first, *_] = sorted(digests)
        raise ConfigError(
            f"register {name}: there are {len(digests)} data sets, and a name is for one model: "
            f"leave it out, and register one data set's best, as by {package.command('compare')} "
            f"--filter \"tags.{DATA_DIGEST} = '{first}'\" --register {name}"
        )


def register(store: Store, model_id: str, run: TrackedRun, name: str) -> str:
    """The version of a run's logged model under that name, made where there is none."""
    client, source = store.client, f"models:/{model_id}"
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
            model_id=model_id,
        )
        return str(created.version)

    return known() or store.patience(create, known)


def load(store: Store, uri: str) -> Predictor:
    """A logged or registered model by its `models:/` address; `models:/NAME` is the latest version.

    Raises ConfigError where there is no such model, or it is not this project's.
    """
    name = uri.removeprefix("models:/")
    is_latest = not re.search("[/@]", name) and not re.fullmatch("m-[0-9a-f]{32}", name)
    try:
        with warnings.catch_warnings(action="ignore"):  # of versions a little newer than the model's
            address = f"{uri}/latest" if is_latest else uri
            # nor does MLflow search all that is installed for them, which takes as long as all else here
            model = store.patience_of_registry(lambda: mlflow.pyfunc.load_model(address, True))
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
