"""The settings of a run: the one list from which all that is said of a setting follows.

Its check, help and default, its param on record and its column, its place in a run's name, in advice and
in the fingerprint. A new setting is a field here and a line in conf/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path, PurePath
from typing import Annotated, Any, ClassVar, Literal, Self

from omegaconf import OmegaConf
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

from .functions import Function, arguments, resolve
from .kinds import Count, Finite, ModelName, Name, Positive, Reads, Text, allowed
from .losses import LOSSES
from .models import MODELS
from .normalization import NORMALIZATIONS
from .package import CONF


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


def one_of(functions: Mapping[str, Function], param: str, after: int = 1, **facts: Any) -> Any:
    """The type of a setting that names one of these functions, or one of the user's by its import path."""

    def known(name: str) -> str:
        if name not in functions and "." not in name:
            raise ValueError
        try:
            arguments(resolve(name, functions), after)
        except LookupError as error:
            raise ValueError(f"{param}.function={error}") from error
        return name

    said = f"{', '.join(functions)}, or {param}.function=MODULE.FUNCTION"
    return Annotated[str, AfterValidator(known), About(said, param, in_name=str, **facts)]


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


class FunctionSettings(Group):
    """A function: one of the project's by its name, or one of the user's by its import path."""

    GROUP: ClassVar[str]
    SHIPPED: ClassVar[Mapping[str, Function]]
    AFTER: ClassVar[int] = 1  # the tensors that it is about come before what it takes

    name: str

    @property
    def chosen(self) -> Function:
        """The function itself."""
        return resolve(self.name, self.SHIPPED)

    @model_validator(mode="before")
    @classmethod
    def _own_stands_in(cls, given: Any) -> Any:
        """`function`, where given, is the name; what the chosen file says for another is not meant."""
        if not isinstance(given, dict):
            return given
        given = dict(given)
        if (own := given.pop("function", None)) is None:
            return given
        if "." not in str(own):
            raise ValueError(f"{cls.GROUP}.function={own} is no import path: give MODULE.FUNCTION")
        try:
            taken = arguments(resolve(str(own), cls.SHIPPED), cls.AFTER)
        except (LookupError, ValueError):  # said where the name is checked
            taken = {}
        path = CONF / cls.GROUP / f"{given.get('name')}.yaml"
        inherited = OmegaConf.to_container(OmegaConf.load(path)) if path.is_file() else {}
        return _meant(given, inherited, taken) | {"name": str(own)}


def _meant(given: dict[str, Any], inherited: Any, taken: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, less what is as inherited and not taken."""
    kept = {key: value for key, value in given.items() if key in taken or value != inherited.get(key)}
    nested = {key: value for key, value in given.items() if isinstance(value, dict)}
    return kept | {key: _meant(value, inherited.get(key, {}), taken) for key, value in nested.items()}


class OptionSettings(FunctionSettings, extra="allow"):
    """A function with options, numbers that stand beside its name."""

    @property
    def options(self) -> dict[str, float]:
        """What the function takes besides the tensors."""
        return self.model_extra or {}

    @property
    def function(self) -> Function:
        """The function with its options: of the tensors alone."""
        return partial(self.chosen, **self.options) if self.options else self.chosen

    @model_validator(mode="after")
    def _takes_its_options(self) -> Self:
        kinds = arguments(self.chosen, self.AFTER)
        mistakes = [
            f"{self.GROUP}.{option}={value} is not allowed: {self.name} takes {', '.join(kinds) or 'none'}"
            for option, value in self.options.items()
            if option not in kinds
        ]
        for option, kind in kinds.items():
            try:
                self.options[option] = TypeAdapter(kind).validate_python(self.options.get(option))
            except ValidationError:
                given = self.options.get(option, "nothing")
                mistakes.append(f"{self.GROUP}.{option}={given} is not allowed: give {allowed(kind)}")
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self


class NormalizationSettings(OptionSettings):
    """An input normalization of `normalization.py`, with the options that it takes."""

    GROUP, SHIPPED = "normalization", NORMALIZATIONS
    name: one_of(NORMALIZATIONS, "normalization", place=2, always=True)  # type: ignore[valid-type]


class LossSettings(OptionSettings):
    """A loss of `losses.py`, with the options that it takes."""

    GROUP, SHIPPED, AFTER = "loss", LOSSES, 2
    name: one_of(LOSSES, "loss", after=2, place=6, problem=True)  # type: ignore[valid-type]


class ModelSettings(FunctionSettings):
    """A model of `models.py` and the parameters it starts from."""

    GROUP, SHIPPED = "model", MODELS
    name: one_of(MODELS, "model", place=5, problem=True)  # type: ignore[valid-type]
    start: Annotated[dict[str, Finite], About("one finite number for each parameter of the model")]
    physical: Annotated[
        bool, About("true for a model in physical units, which takes the input as it is", decides=False)
    ] = False

    @property
    def parameters(self) -> tuple[str, ...]:
        """The K parameters' names."""
        return tuple(arguments(self.chosen))

    @property
    def start_in_order(self) -> list[float]:
        """What each of them starts from."""
        return [self.start[name] for name in self.parameters]

    @model_validator(mode="after")
    def _starts_every_parameter(self) -> ModelSettings:
        if not self.parameters:
            raise ValueError(f"model={self.name} has no parameters besides its input: nothing can be trained")
        names = self.parameters
        faults = [f"there is no setting model.start.{name}" for name in self.start if name not in names]
        faults += [f"model.start.{name} is missing" for name in names if name not in self.start]
        if faults:
            raise ValueError(f"{', '.join(faults)}: model={self.name} starts from {', '.join(names)}")
        return self


class DataSettings(Group):
    """Which columns of which CSV are the pairs."""

    path: Annotated[
        Text,
        About("the path of a CSV file", "data", _file, _file, place=7, problem=True, decides=False),
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
    loss: LossSettings = LossSettings(name="mse")
    data: DataSettings
    dtype: Annotated[
        Literal["float32", "float64"],
        About("float32 or float64", "dtype", labelled("dtype"), labelled("dtype"), place=8),
    ]
    device: Annotated[
        str,
        Field(pattern=r"^(cpu|cuda(:\d+)?)$"),
        About(
            "cpu, cuda or one card as in cuda:0", "device", labelled("device"), labelled("device"), place=9
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
def settings_with(
    normalization: str, loss: str, model: str, gone: tuple[str, ...] = ()
) -> tuple[Setting, ...]:
    """Every setting of a run with these functions, in the order of the record.

    `gone`: the parameters of a model of the user's that cannot be imported any more.
    """
    found = []
    for setting in _leaves(Settings, ()):
        if setting.path == ("model", "start"):
            names = _taken(MODELS, model) or dict.fromkeys(gone)
            found += [_start(name) for name in names]
        else:
            found.append(setting)
        if setting.path == ("normalization", "name"):
            found += [
                _option("normalization", *each) for each in _taken(NORMALIZATIONS, normalization).items()
            ]
        if setting.path == ("loss", "name"):
            found += [_option("loss", *each) for each in _taken(LOSSES, loss, 2).items()]
    return tuple(found)


def _taken(functions: Mapping[str, Function], name: str, after: int = 1) -> dict[str, Any]:
    try:
        return arguments(resolve(name, functions), after)
    except (LookupError, ValueError):
        return {}


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
    return Setting(".".join(path), path, About("a finite number", f"start_{name}", reads, reads, place=10))


def _option(group: str, name: str, kind: Any) -> Setting:
    templates = [each.template for each in kind.__metadata__ if isinstance(each, Reads)]
    reads = _number(templates[0] if templates else name + "={:g}")
    path = (group, name)
    place, is_problem = (3, False) if group == "normalization" else (6, True)
    about = About(allowed(kind), "_".join(path), reads, reads, place=place, problem=is_problem)
    return Setting(".".join(path), path, about)
