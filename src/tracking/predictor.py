"""A run's calibration at work, from its record alone; by its logged model, see `registry`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from mlflow.pyfunc.model import PythonModelContext

from .. import package
from ..config import ConfigError
from ..fit.code import code_digest
from ..functions import Function, resolve
from ..models import MODELS
from ..polynomial import is_polynomial
from . import reader, standalone
from .calibration_model import CalibrationModel
from .dataset import DatasetRecord
from .record import PYTHON, UNCERTAINTY, TrackedRun
from .store import Store


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


def of_run(store: Store, run: TrackedRun) -> Predictor:
    """A run's calibration, from its record alone. Raises ConfigError for a run that has none."""
    config = config_of(run, reader.dataset(store, run.run_id))
    model = CalibrationModel(standalone.numeric(function_of(run)))
    model.load_context(PythonModelContext({}, config))  # type: ignore[no-untyped-call]
    of = f"{run.name}, run {run.run_id}"

    def predict(frame: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        return model.predict(None, frame, params)

    return Predictor(of, config["input"], config["target"], predict, config[UNCERTAINTY] is not None)


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
    """The run's model, as it was trained; raises ConfigError where that is not to be had."""
    if run.is_parent or "model" not in run.params:
        raise _unusable(run)
    name = run.params["model"]
    try:
        function = resolve(name, MODELS)
    except LookupError as error:
        raise ConfigError(f"run {run.run_id} has no calibration without its model: {error}") from error
    code = json.loads(run.tags.get("code", "{}"))
    is_comparable = name not in MODELS and code.get("python") == PYTHON  # each has hashes of its own
    if is_comparable and code["model"] != code_digest(function):
        raise ConfigError(
            f"run {run.run_id} has no calibration without its model: the code of {name} was changed since: "
            "undo that, give the model that was logged then as models:/..., or train again"
        )
    return function


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
