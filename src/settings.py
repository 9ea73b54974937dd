"""The settings of a run: the one list from which all that is said of a setting follows.

Its check, help and default, its param on record and its column, its place in a run's name, in advice and
in the fingerprint. A new setting is a field here and a line in conf/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from .functions import Function, arguments, parameter_names
from .kinds import Count, Finite, ModelName, Name, Positive, Reads, Text, allowed
from .models import MODELS
from .normalization import NORMALIZATIONS


@dataclass(frozen=True)
class About:
    """What is true of a setting besides its type.

    `allowed`: what errors and the help say it may be. `param`: its name on record, none for what only says
    where a run is filed. `reads`: how a value, as it is on record, reads on a figure; `in_name`: in a run's
    name, where `place` orders it, None for what is not in it. `always`: worth a column and a place in the
    name even where it is the default. `problem`: part of the question that the training answers, which has
    one exact answer. `decides`: part of the fingerprint.
    """

    allowed: str
    param: str = ""
    reads: Callable[[str], str] = str
    in_name: Callable[[str], str] | None = None
    place: int = 0
    always: bool = False
    problem: bool = False
    decides: bool = True


def one_of(functions: Mapping[str, Function], param: str, **facts: Any) -> Any:
    """The type of a setting that names one of these functions."""
    *first, last = functions
    about = About(f"{', '.join(first)} or {last}", param, in_name=str, **facts)

    def known(name: str) -> str:
        if name not in functions:
            raise ValueError
        return name

    return Annotated[str, AfterValidator(known), about]


def labelled(label: str) -> Callable[[str], str]:
    """How a value reads under its label; of a long one the end."""
    return lambda text: f"{label}={text if len(text) <= 24 else '…' + text[-23:]}"


def _number(template: str) -> Callable[[str], str]:
    return lambda text: template.format(float(text))


def _file(path: str) -> str:
    return PurePath(path).name


def _epochs(text: str) -> str:
    return f"{int(text):,} epoch{'' if text == '1' else 's'}"


class Group(BaseModel):
    """Settings under one key."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NormalizationSettings(Group, extra="allow"):
    """An input normalization of `normalization.py`, with the options that it takes."""

    name: one_of(NORMALIZATIONS, "normalization", place=2, always=True)  # type: ignore[valid-type]

    @property
    def options(self) -> dict[str, float]:
        """What the function takes besides the input."""
        return self.model_extra or {}

    @model_validator(mode="after")
    def _takes_its_options(self) -> NormalizationSettings:
        kinds = arguments(NORMALIZATIONS[self.name])
        mistakes = [
            f"normalization.{option}={value} is not allowed: {self.name} takes {', '.join(kinds) or 'none'}"
            for option, value in self.options.items()
            if option not in kinds
        ]
        for option, kind in kinds.items():
            try:
                self.options[option] = TypeAdapter(kind).validate_python(self.options.get(option))
            except ValidationError:
                given = self.options.get(option, "nothing")
                mistakes.append(f"normalization.{option}={given} is not allowed: give {allowed(kind)}")
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self


class ModelSettings(Group):
    """A model of `models.py` and the parameters it starts from."""

    name: one_of(MODELS, "model", place=5, problem=True)  # type: ignore[valid-type]
    start: Annotated[dict[str, Finite], About("one finite number for each parameter of the model")]

    @model_validator(mode="after")
    def _starts_every_parameter(self) -> ModelSettings:
        names = parameter_names(MODELS[self.name])
        if set(self.start) != set(names):
            raise ValueError(
                f"model.start has {', '.join(self.start) or 'nothing'}: "
                f"model={self.name} starts from {', '.join(names)}"
            )
        return self


class DataSettings(Group):
    """Which columns of which CSV are the pairs."""

    path: Annotated[
        Text,
        About("the path of a CSV file", "data", _file, _file, place=6, problem=True, decides=False),
    ]
    input: Annotated[
        Name,
        About(
            "the name of a column: what the instrument showed",
            "data_input",
            labelled("data_input"),
            problem=True,
        ),
    ]
    target: Annotated[
        Name,
        About("the name of a column: what was true", "data_target", labelled("data_target"), problem=True),
    ]
    # by column, so that they do not outlive the choice of another
    units: Annotated[dict[str, Text], About("a unit for each column that has one", decides=False)] = {}

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


class TrackingSettings(Group):
    """Where in the tracking store the runs go."""

    experiment: Annotated[Name, About("the name of an MLflow experiment", decides=False)]


class Origin(Group):
    """The sweep that a run belongs to, the folder that its jobs share, and the run's number in it.

    Filled in by the command and by Hydra; all None for a run on its own.
    """

    sweep: Annotated[str | None, About("nothing: the command fills it in", decides=False)] = None
    folder: Annotated[str | None, About("nothing: the command fills it in", decides=False)] = None
    job: Annotated[int | None, About("nothing: Hydra fills it in", decides=False)] = None

    @property
    def lock(self) -> Path:
        """What whoever records the sweep's first run locks: it is there once something is on record."""
        return Path(self.folder or "") / "parent.lock"

    @property
    def repeats(self) -> Path:
        """The config that repeats the sweep."""
        return Path(self.folder or "") / "sweep.yaml"


class Settings(Group):
    """One run."""

    lr: Annotated[
        Positive,
        About(
            "a finite number greater than 0, like 1e-2",
            "lr",
            labelled("lr"),
            _number("lr={:g}"),
            place=1,
            always=True,
        ),
    ]
    epochs: Annotated[
        Count,
        About("a whole number from 1 to 10**12, like 5000", "epochs", _epochs, str, place=4, always=True),
    ]
    normalization: NormalizationSettings
    model: ModelSettings
    data: DataSettings
    dtype: Annotated[
        Literal["float32", "float64"],
        About("float32 or float64", "dtype", labelled("dtype"), labelled("dtype"), place=7),
    ]
    device: Annotated[
        str,
        Field(pattern=r"^(cpu|cuda(:\d+)?)$"),
        About(
            "cpu, cuda or one card as in cuda:0", "device", labelled("device"), labelled("device"), place=8
        ),
    ]
    tracking: TrackingSettings
    # `register` itself is a method that pydantic's models inherit
    register_as: Annotated[
        ModelName | None,
        Field(alias="register"),
        About("a name for the best run's model, without / : @", decides=False),
    ] = None
    origin: Origin = Origin()

    def in_sweep(self, origin: Origin, job: int) -> Settings:
        """The same, as a job of a sweep."""
        return self.model_copy(update={"origin": origin.model_copy(update={"job": job})})


@dataclass(frozen=True)
class Setting:
    """One setting of a run: `key` is the command line's name for it, `path` where its value stands."""

    key: str
    path: tuple[str, ...]
    about: About

    @property
    def group(self) -> str:
        """The config group that it is in; empty for none."""
        return self.path[0] if len(self.path) > 1 else ""

    def value(self, settings: Settings) -> Any:
        """What a run's settings give it."""
        value: Any = settings
        for part in self.path:
            value = value[part] if isinstance(value, dict) else getattr(value, part)
        return value


@cache
def settings_with(normalization: str, model: str) -> tuple[Setting, ...]:
    """Every setting of a run with this normalization and this model, in the order of the record."""
    found = []
    for setting in _leaves(Settings, ()):
        if setting.path == ("model", "start"):
            found += [_start(name) for name in parameter_names(MODELS[model])]
        else:
            found.append(setting)
        if setting.path == ("normalization", "name"):
            found += [_option(*option) for option in arguments(NORMALIZATIONS[normalization]).items()]
    return tuple(found)


def _leaves(group: type[Group], path: tuple[str, ...]) -> Iterator[Setting]:
    for name, field in group.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Group):
            yield from _leaves(inner, (*path, name))
        else:
            # a function is chosen by its group's name alone: model=linear
            key = (*path, field.alias or name) if name != "name" else path
            yield Setting(".".join(key), (*path, name), about(field))


def about(field: FieldInfo) -> About:
    """What is said of a setting beside its type."""
    return next(each for each in field.metadata if isinstance(each, About))


def _start(name: str) -> Setting:
    reads = _number(f"start {name}={{:g}}")
    path = ("model", "start", name)
    return Setting(".".join(path), path, About("a finite number", f"start_{name}", reads, reads, place=9))


def _option(name: str, kind: Any) -> Setting:
    templates = [each.template for each in kind.__metadata__ if isinstance(each, Reads)]
    reads = _number(templates[0] if templates else name + "={:g}")
    path = ("normalization", name)
    return Setting(".".join(path), path, About(allowed(kind), "_".join(path), reads, reads, place=3))
