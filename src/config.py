"""Typed, validated settings, and what makes two runs the same: the fingerprint.

Everything a command line can get wrong is found here, before torch or MLflow is imported, so that a
mistake answers within a second. All mistakes are reported at once.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from .models import MODELS, parameter_names


class ConfigError(Exception):
    """A mistake of the user's: says what was given, what is allowed, what to do. Exit code 2."""


def _not_bool(value: object) -> object:
    if isinstance(value, bool):  # bool is an int to Python, and 1 to pydantic
        raise ValueError("a number, not a truth value")
    return value


Finite = Annotated[float, BeforeValidator(_not_bool), Field(allow_inf_nan=False)]
Positive = Annotated[float, BeforeValidator(_not_bool), Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, BeforeValidator(_not_bool), Field(ge=1, le=10**12)]
Name = Annotated[str, Field(min_length=1, max_length=250, pattern=r"\S")]
LONGEST_MODEL_NAME = 250
MODEL_NAME = r"^[^/:@]*[^/:@\s][^/:@]*$"  # what MLflow's registry and addresses allow
ModelName = Annotated[str, Field(max_length=LONGEST_MODEL_NAME, pattern=MODEL_NAME)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataSettings(_Frozen):
    """Which columns of which CSV are the pairs."""

    path: str = Field(min_length=1, description="the path of a CSV file")
    input: Name = Field(description="the name of a column: what the instrument showed")
    target: Name = Field(description="the name of a column: what was true")
    # by column, so that they do not outlive the choice of another
    units: dict[str, str] = Field(default={}, description="a unit for each column that has one")

    @model_validator(mode="after")
    def _two_columns(self) -> DataSettings:
        if "in_range" in (self.input, self.target):
            raise ValueError("in_range is what a prediction says of itself: rename that column")
        if self.input == self.target:
            raise ValueError(f"data.input and data.target are both {self.input!r}: name two columns")
        return self

    def __hash__(self) -> int:  # a dict has none
        return hash((self.path, self.input, self.target))

    @property
    def input_unit(self) -> str:
        """The input's unit; empty where nobody knows it."""
        return self.units.get(self.input, "")

    @property
    def target_unit(self) -> str:
        """The target's unit; empty where nobody knows it."""
        return self.units.get(self.target, "")


class ModelSettings(_Frozen):
    """A model of `models.py` and the parameters it starts from."""

    name: Literal["linear", "quadratic"] = Field(description="linear or quadratic")
    start: dict[str, Finite] = Field(description="one finite number for each parameter of the model")

    @model_validator(mode="after")
    def _starts_every_parameter(self) -> ModelSettings:
        names = parameter_names(MODELS[self.name])
        if set(self.start) != set(names):
            raise ValueError(
                f"model.start has {', '.join(self.start) or 'nothing'}: "
                f"model={self.name} starts from {', '.join(names)}"
            )
        return self


class NormalizationSettings(_Frozen):
    """An input normalization of `normalization.py`; only `scale` has a factor."""

    name: Literal["none", "scale", "zscore", "minmax"] = Field(description="none, scale, zscore or minmax")
    factor: Positive | None = Field(None, description="a finite number greater than 0, like 0.1")

    @model_validator(mode="after")
    def _factor_belongs_to_scale(self) -> NormalizationSettings:
        if (self.factor is not None) != (self.name == "scale"):
            raise ValueError(
                f"normalization.factor={self.factor}: scale needs one, {self.name} takes none"
                if self.name != "scale"
                else "normalization=scale needs normalization.factor, a number like 0.1"
            )
        return self


class TrackingSettings(_Frozen):
    """Where in the tracking store the runs go."""

    experiment: Name = Field(description="the name of an MLflow experiment")


class Settings(_Frozen):
    """One run. What a field allows is its description: errors quote it."""

    lr: Positive = Field(description="a finite number greater than 0, like 1e-2")
    epochs: Count = Field(description="a whole number from 1 to 10**12, like 5000")
    dtype: Literal["float32", "float64"] = Field(description="float32 or float64")
    device: str = Field(pattern=r"^(cpu|cuda(:\d+)?)$", description="cpu, cuda or one card as in cuda:0")
    data: DataSettings
    model: ModelSettings
    normalization: NormalizationSettings
    tracking: TrackingSettings
    # `register` itself is a method that pydantic's models inherit
    register_as: ModelName | None = Field(
        default=None, alias="register", description="a name for the best run's model, without / : @"
    )
    overrides: tuple[str, ...] = Field((), description="nothing: Hydra fills it in, for the record")


def check(cfg: DictConfig) -> Settings:
    """The settings of a composed config; raises ConfigError with every mistake in it."""
    try:
        container = OmegaConf.to_container(_outside_hydra(cfg), resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(one_line(error)) from error
    try:
        return Settings.model_validate(container)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(error))) from error


def _outside_hydra(cfg: DictConfig) -> DictConfig:
    """The config, less what only a job of Hydra's can resolve where it is none, as in a notebook."""
    if not OmegaConf.is_interpolation(cfg, "overrides"):
        return cfg
    try:
        _ = cfg.overrides
    except OmegaConfBaseException:
        return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "overrides"])
    return cfg


def one_line(error: BaseException) -> str:
    """An error's text without its line breaks."""
    return " ".join(str(error).split())


def _explain(error: ValidationError) -> list[str]:
    """One clause for each mistake: what was given and what is allowed."""
    clauses = []
    for detail in error.errors():
        path = [str(part) for part in detail["loc"]]
        key = ".".join(path)
        if detail["type"] == "extra_forbidden":
            clauses.append(_no_such_setting(path))
        elif detail["type"] == "missing":
            clauses.append(f"{key} is missing: give {_description(path)}")
        elif "error" in detail.get("ctx", {}) and not _description(path):
            clauses.append(str(detail["ctx"]["error"]))  # a sentence of our own, from a validator
        else:
            clauses.append(f"{key}={_shown(detail['input'])} is not allowed: {_allowed(path)}")
    return list(dict.fromkeys(clauses))


def _shown(value: object) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _fields(path: list[str]) -> Any:
    """The pydantic fields under a path of settings; {} under one that has none."""
    model: Any = Settings
    for part in path:
        model = getattr(_by_key(model).get(part), "annotation", None)
    return _by_key(model)


def _by_key(model: Any) -> dict[str, Any]:
    """A settings class's fields by the key that the command line gives them."""
    return {field.alias or name: field for name, field in getattr(model, "model_fields", {}).items()}


def _description(path: list[str]) -> str:
    for depth in range(len(path), 0, -1):  # model.start.w is described at model.start
        field = _fields(path[: depth - 1]).get(path[depth - 1])
        if field is not None:
            return field.description or ""
    return ""


def _allowed(path: list[str]) -> str:
    return f"give {_description(path) or ', '.join(_fields(path)) or 'another'}"


def _no_such_setting(path: list[str]) -> str:
    names = [name for name in _fields(path[:-1]) if name != "overrides"]
    return no_such_setting(".".join(path), names)


def no_such_setting(key: str, names: Sequence[str]) -> str:
    """Says that a setting does not exist, which `names` stand in its place, and which may be meant."""
    *parents, wrong = key.split(".")
    near = difflib.get_close_matches(wrong, names, n=1)
    meant = f"did you mean {'.'.join([*parents, near[0]])}? " if near else ""
    where = f"{'.'.join(parents)} has" if parents else "the settings are"
    return f"there is no setting {key}: {meant}{where} {', '.join(names) or 'none'}"


# What conf/config.yaml gives where nothing else is asked for: names and advice do not repeat it.
USUAL: dict[str, Any] = {
    "data.path": "data/thermometer.csv",
    "data.input": "t_u",
    "data.target": "t_c",
    "model": "linear",
    "normalization.factor": 0.1,
    "dtype": "float32",
    "device": "cpu",
}
UNDECISIVE: Any = {"tracking": True, "register_as": True, "overrides": True, "data": {"path", "units"}}


def fingerprint(settings: Settings, data_digest: str) -> str:
    """A hash (32 hex digits) of all that decides a run's numbers: settings, data, versions.

    Not where it is filed, nor where the data lies: the same file elsewhere is the same.
    """
    decisive = {
        "settings": settings.model_dump(exclude=UNDECISIVE),
        "data": data_digest,
        "versions": _versions(),
    }
    text = json.dumps(decisive, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "calibrate-thermometer")}
