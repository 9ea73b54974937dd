"""The settings that choose a function: a model, a loss or a normalization, with what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import Annotated, Any, ClassVar, Self

from omegaconf import OmegaConf
from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from .functions import Function, arguments, defaults, is_import_path, resolve, taken
from .kinds import About, Finite, allowed
from .losses import LOSSES
from .models import MODELS
from .normalization import NORMALIZATIONS
from .package import CONF


class Group(BaseModel):
    """Settings under one key."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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
        if not is_import_path(str(own)):
            raise ValueError(
                f"{cls.GROUP}.function={own} is not an import path: give MODULE.FUNCTION, "
                "as mine.tanh for the function tanh of mine.py"
            )
        path = CONF / cls.GROUP / f"{given.get('name')}.yaml"
        inherited = OmegaConf.to_container(OmegaConf.load(path)) if path.is_file() else {}
        return _meant(given, inherited, taken(str(own), cls.SHIPPED, cls.AFTER)) | {"name": str(own)}


def _meant(given: dict[str, Any], inherited: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, less what is as inherited and not taken."""
    kept = {key: value for key, value in given.items() if key in known or value != inherited.get(key)}
    nested = {key: value for key, value in given.items() if isinstance(value, dict)}
    return kept | {key: _meant(value, inherited.get(key, {}), known) for key, value in nested.items()}


class OptionSettings(FunctionSettings, extra="allow"):
    """A function with options, numbers that stand beside its name."""

    @property
    def options(self) -> dict[str, float]:
        """What the function takes besides the tensors."""
        assert self.model_extra is not None
        return self.model_extra

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
        given = defaults(self.chosen) | self.options
        for option, kind in kinds.items():
            if option not in given:
                mistakes.append(f"{self.GROUP}.{option} is missing: give {allowed(kind)}")
                continue
            try:
                self.options[option] = _adapter(kind).validate_python(given[option])
            except ValidationError:
                mistakes.append(f"{self.GROUP}.{option}={given[option]} is not allowed: give {allowed(kind)}")
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Made once: pydantic takes as long to build one as to check a hundred values."""
    return TypeAdapter(kind)


class NormalizationSettings(OptionSettings):
    """An input normalization of `normalization.py`, with the options that it takes."""

    GROUP, SHIPPED = "normalization", NORMALIZATIONS
    name: one_of(NORMALIZATIONS, "normalization", place=2, always=True, what="of the input")  # type: ignore[valid-type]


class LossSettings(OptionSettings):
    """A loss of `losses.py`, with the options that it takes."""

    GROUP, SHIPPED, AFTER = "loss", LOSSES, 2
    name: one_of(LOSSES, "loss", after=2, place=6, problem=True, what="what training makes small")  # type: ignore[valid-type]


class ModelSettings(FunctionSettings):
    """A model of `models.py` and the parameters it starts from."""

    GROUP, SHIPPED = "model", MODELS
    name: one_of(MODELS, "model", place=5, problem=True, what="the curve")  # type: ignore[valid-type]
    start: Annotated[dict[str, Finite], About("one finite number for each parameter of the model")]
    physical: Annotated[
        bool,
        About(
            "in a model's YAML: true for one in physical units, that takes the input as it is", decides=False
        ),
    ] = False
    through_origin: Annotated[
        bool,
        About("in a model's YAML: true for one that is 0 where its input is, not shifted", decides=False),
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
        untaken = defaults(self.chosen)
        faults += [
            f"model.start.{name} is missing{' (its default in Python is not taken)' * (name in untaken)}"
            for name in names
            if name not in self.start
        ]
        if faults:
            raise ValueError(f"{', '.join(faults)}: model={self.name} starts from {', '.join(names)}")
        return self
