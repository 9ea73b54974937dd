"""Kinds of values that settings and functions' options may have, and what is said of a setting besides."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin
from unicodedata import normalize

from pydantic import AfterValidator, BeforeValidator, Field, WrapValidator


@dataclass(frozen=True)
class About:
    """What is true of a setting besides its type.

    `allowed`: what errors and the help say it may be. `what`: what it is, where that does not say so.
    `param`: its name on record, none for what only says where a run is filed. `reads`: how a value, as it
    is on record, reads on a figure; `in_name`: in a run's name, where `place` orders it, None for what is
    not in it. `always`: worth a column and a place in the name even where it is the default. `problem`:
    part of the question that the training answers, which has one exact answer. `decides`: part of the
    fingerprint.
    """

    allowed: str
    param: str = ""
    reads: Callable[[str], str] = str
    in_name: Callable[[str], str] | None = None
    place: int = 0
    always: bool = False
    problem: bool = False
    decides: bool = True
    what: str = ""


@dataclass(frozen=True)
class Reads:
    """How a value of a kind reads in a run's name and on a figure, in place of `option=value`."""

    template: str


def _not_bool(value: object) -> object:
    if isinstance(value, bool):  # bool is an int to Python, and 1 to pydantic
        raise ValueError  # without a sentence of its own: what is allowed is said of the setting
    return value


def _or_auto(value: object, number: Callable[[object], float]) -> object:
    return value if value == "auto" else number(value)


def _number_or_text(value: object) -> object:
    """On record a number is text."""
    try:
        number = float(str(value))
    except ValueError:
        return value
    if not 0 < number < math.inf:
        raise ValueError  # no name either
    return number


def _as_text(value: object) -> object:
    """Hydra reads a name like 2024 as a number, and one like true as a truth value."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def at_home(path: str) -> str:
    """A path with the home folder in place of the `~` that it begins with, which no shell has put there."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:  # of a user whom nobody knows
        return path


def _path_at_home(value: float | str) -> float | str:
    return at_home(value) if isinstance(value, str) else value


def _number(said: str, **bounds: Any) -> Any:
    return Field(allow_inf_nan=False, description=said, **bounds)


NotBool = BeforeValidator(_not_bool)
Finite = Annotated[float, NotBool, _number("a finite number, like 1.5")]
Positive = Annotated[float, NotBool, _number("a finite number greater than 0, like 0.1", gt=0)]
Rate = Annotated[Positive, WrapValidator(_or_auto)]  # a number, once a run is prepared
Spread = Annotated[float, NotBool, _number("a finite number of at least 0, like 0.1", ge=0)]
Factor = Annotated[Positive, Reads("×{:g}")]
Seed = Annotated[int, NotBool, Field(ge=0, lt=2**63)]
Points = Annotated[int, NotBool, Field(ge=1, le=1000)]
Count = Annotated[int, NotBool, Field(ge=1, le=10**12)]


def on_one_line(name: str) -> str:
    """A name with every white space, line breaks and no-break spaces too, as one blank."""
    return " ".join(name.split())


def same_name(name: str) -> str:
    """What names have in common that read alike: the two signs for micro are one (Unicode's NFKC).

    >>> same_name("Temp\u00a0C \u00b5A") == same_name("Temp C \u03bcA")
    True
    """
    return on_one_line(normalize("NFKC", name))


CONDITION = re.compile(r"\s*(?P<column>.+?)\s*(?P<sign><=|>=|==|!=|<|>)\s*(?P<value>.+?)\s*")
AND = re.compile(r"\s+and\s+")


def _condition(text: str) -> str:
    if not all(CONDITION.fullmatch(part) for part in AND.split(text)):
        raise ValueError  # without a sentence of its own: what is allowed is said of the setting
    return text


AsText = BeforeValidator(_as_text)
Text = Annotated[str, AsText, Field(min_length=1)]
FilePath = Annotated[Text, AfterValidator(at_home)]
Name = Annotated[str, AsText, Field(min_length=1, max_length=250, pattern=r"\S")]
Column = Annotated[Name, AfterValidator(on_one_line)]
Condition = Annotated[Text, AfterValidator(_condition)]
NumberOrName = Annotated[Positive | Name, BeforeValidator(_number_or_text)]
NumberOrPath = Annotated[NumberOrName, AfterValidator(_path_at_home)]
LONGEST_MODEL_NAME = 250
# What MLflow's registry and addresses allow: not only blanks, nor what a path begins with
MODEL_NAME = r"^(\s[^/:@]*[^/:@\s]|[^/:@\s.]|\.[^/:@.])[^/:@]*$"
ModelName = Annotated[str, AsText, Field(max_length=LONGEST_MODEL_NAME, pattern=MODEL_NAME)]


def plain_types(kind: Any) -> set[Any]:
    """What a kind comes down to: `{float, str, NoneType}` of a number, a name or nothing."""
    inner = () if get_origin(kind) is dict else get_args(kind)
    if not inner:
        return {get_origin(kind) or kind}
    return plain_types(inner[0]) if hasattr(kind, "__metadata__") else set().union(*map(plain_types, inner))


def allowed(kind: Any) -> str:
    """What a value of this kind may be."""
    return next(str(each.description) for each in kind.__metadata__ if getattr(each, "description", None))


def labelled(label: str) -> Callable[[str], str]:
    """How a value reads under its label; of a long one the end."""
    return lambda text: f"{label}={text if len(text) <= 24 else '…' + text[-23:]}"


def under_label(said: str, param: str, place: int, **facts: Any) -> About:
    """What is said of a setting that reads under its param; in a run's name `data_` goes without saying."""
    return About(said, param, labelled(param), labelled(param.removeprefix("data_")), place, **facts)
