"""What a logged model carries, so that it runs where this project is not: code, what that needs and takes.

The code is one file, the texts of the modules that it consists of, and the function's. A shipped one has
numpy's elementary functions for this project's. A function of the user's own comes with the file or the
package that it is imported from, and is given torch's tensors.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.utils import environment

from .. import elementary
from ..columns import PREDICTED
from ..functions import Function, on_arrays, public, resolve
from ..models import MODELS
from . import band, calibration_model, curve
from .band import Wanted
from .curve import Floats

FILE = "calibration_model.py"
MODULES = (curve, band, calibration_model)  # each after those that it imports from
OF_ANOTHER = re.compile(r"^from \.\w+ import (\([^)]*\)|.*)\n", re.MULTILINE)  # which stands in the same file

# Of the params of a prediction, see `band.Wanted`
PARAMS = {
    "coverage": DataType.double,
    "curve": DataType.boolean,
    "replicates": DataType.long,
    "sigma": DataType.double,
}


def numeric(function: Function) -> Callable[..., Floats]:
    """A model's function as one of arrays, which a shipped one is as it stands."""
    return function if _is_shipped(function) else on_arrays(function)


def code(name: str) -> str:
    """The logged file's text, for the model of this name."""
    function = resolve(name, MODELS)
    parts = _shipped(function) if _is_shipped(function) else _own(name)
    texts = [Path(module.__file__ or "").read_text(encoding="utf-8") for module in MODULES]
    return "\n\n".join([*(OF_ANOTHER.sub("", text) for text in texts), *parts])


def carried(name: str) -> list[str]:
    """What is copied beside the code: the file or the package of a function of the user's own."""
    if _is_shipped(resolve(name, MODELS)):
        return []
    top = sys.modules[name.partition(".")[0]]
    folders = list(getattr(top, "__path__", ()))
    return folders[:1] or [inspect.getfile(top)]


def requirements(name: str) -> list[str]:
    """The packages that it takes, as pip reads them."""
    own = [] if _is_shipped(resolve(name, MODELS)) else ["torch"]
    # of a version like 2.13.0+cpu the part that every index has
    return [
        f"{each}=={version(each).partition('+')[0]}" for each in ("mlflow", "numpy", "pandas", "scipy", *own)
    ]


@contextmanager
def unsearched() -> Iterator[None]:
    """Inside, MLflow does not search all that is installed for other versions than were just read from there.

    That takes as long as all else about a model.
    """
    name = "warn_dependency_requirement_mismatches"
    search = getattr(environment, name, None)  # another MLflow may have none
    if search:
        setattr(environment, name, lambda requirements: None)
    try:
        yield
    finally:
        if search:
            setattr(environment, name, search)


def signature(input: str, target: str) -> ModelSignature:
    """The columns that a logged model gives, any of which may be missing, and its params.

    None for those that it takes: MLflow knows no type that takes whole numbers and others from Python, JSON
    and CSV alike (double refuses int64, any type refuses CSV). What is no number the model refuses itself.
    """
    kinds = {"in_range": DataType.boolean, "remark": DataType.string}
    found = Schema(
        [
            ColSpec(kinds.get(name, DataType.double), name, required=False)
            for name in (input, target, *PREDICTED)
        ]
    )
    params = ParamSchema([ParamSpec(name, PARAMS[name], value) for name, value in asdict(Wanted()).items()])
    return ModelSignature(None, found, params)


def _is_shipped(function: Function) -> bool:
    return function in MODELS.values()


def _shipped(function: Function) -> list[str]:
    used = [name for name in public(elementary.__name__) if name in function.__code__.co_names]
    imported = [f"{', '.join(used)} = {', '.join(f'np.{name}' for name in used)}"] if used else []
    stands_for = "Tensor = Floats  # the function was trained on tensors, and takes arrays as well"
    return [
        "\n".join([*imported, stands_for]),
        "\n" + inspect.getsource(function),
        _set_model(function.__name__),
    ]


def _own(name: str) -> list[str]:
    module, _, function = name.rpartition(".")
    return [
        inspect.getsource(on_arrays),
        f"from {module} import {function} as calibrated  # which is carried beside this file",
        _set_model("on_arrays(calibrated)"),
    ]


def _set_model(function: str) -> str:
    return f"mlflow.models.set_model(CalibrationModel({function}))\n"
