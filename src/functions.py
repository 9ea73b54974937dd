"""What the project reads from a plain function: which there are, and what each takes.

A model's parameters are its signature's, after the input; a normalization's options likewise. So adding
one is writing it. One of the user's own is known by its dotted path.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import Any, cast, get_origin

import numpy as np
import numpy.typing as npt

from .kinds import Finite

Function = Callable[..., Any]
Floats = npt.NDArray[np.float64]


def public(module: str) -> dict[str, Function]:
    """The functions that a module defines under a name without a leading underscore, in its order."""
    return {
        name: value
        for name, value in vars(sys.modules[module]).items()
        if inspect.isfunction(value) and value.__module__ == module and not name.startswith("_")
    }


def is_import_path(text: str) -> bool:
    """Whether Python could import it, as `module.function`."""
    parts = text.split(".")
    return len(parts) > 1 and all(part.isidentifier() and not iskeyword(part) for part in parts)


def resolve(name: str, shipped: Mapping[str, Function]) -> Function:
    """A shipped function by its name, or another by its dotted path, `module.function`.

    The current folder's modules can be imported. Raises LookupError, in one line, where there is no such
    function.
    """
    if "." in name:
        return _imported(name)
    if name not in shipped:
        raise LookupError(f"there is no {name}: there is {', '.join(shipped)}, or another as module.function")
    return shipped[name]


@cache
def _imported(path: str) -> Function:
    name, _, attribute = path.rpartition(".")
    try:
        with _current_folder_first():
            module = import_module(name)
    except (Exception, SystemExit) as error:  # a module's own mistakes too
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise LookupError(f"{path}: {name} cannot be imported: {said}") from error
    if not hasattr(module, attribute):
        raise LookupError(f"{path}: {name} has no {attribute}")
    found = getattr(module, attribute)
    if not _is_function(found):
        raise LookupError(f"{path} is not a function whose arguments have names: write def {attribute}(...)")
    return cast(Function, found)


def _is_function(found: Any) -> bool:
    """Whether its arguments have names, and its code is known by one: no class, nor an object of one."""
    try:
        arguments(found)
    except (TypeError, ValueError):
        return False
    return hasattr(found, "__qualname__") and not inspect.isclass(found)


@contextmanager
def _current_folder_first() -> Iterator[None]:
    """As `python -m` has it, and a command that is installed has not."""
    before = sys.path
    sys.path = [str(Path.cwd()), *before]
    try:
        yield
    finally:
        sys.path = before


@cache
def arguments(function: Function, after: int = 1) -> dict[str, Any]:
    """What a function takes after the tensors that it is about: a kind of value by name.

    An argument without a kind of its own, as in `factor: Positive`, may be any finite number. Raises
    ValueError for fewer arguments, and for those that have no place or no name of their own.
    """
    _, *others = inspect.signature(function).parameters.values()
    others = others[after - 1 :]
    if any(each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD, each.KEYWORD_ONLY) for each in others):
        raise ValueError(f"its arguments are {inspect.signature(function)}")
    kinds = {each.name: each.annotation for each in others}
    return {name: kind if get_origin(kind) is not None else Finite for name, kind in kinds.items()}


@cache
def defaults(function: Function) -> dict[str, Any]:
    """What a function takes where it is given nothing, by the argument's name."""
    found = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in found if each.default is not each.empty}


def taken(name: str, shipped: Mapping[str, Function], after: int = 1) -> dict[str, Any]:
    """What the function of a name takes; nothing where there is none, as on record of one that is gone."""
    try:
        return arguments(resolve(name, shipped), after)
    except (LookupError, ValueError):
        return {}


def parameter_names(model: Function) -> tuple[str, ...]:
    """The K names of a model's parameters, in the order in which it takes them."""
    return tuple(arguments(model))


def raw_form(model: Function) -> Function | None:
    """What a model may bring as its attribute `in_raw_units`: its parameters in raw input units.

    `(shift, scale, *params) -> params`, such that the model of the raw input predicts with them what it
    predicts of `(t_u - shift) * scale` with those given.
    """
    found: Function | None = getattr(model, "in_raw_units", None)
    return found


def on_arrays(function: Callable[..., Any]) -> Callable[..., Floats]:
    """A function of tensors as one of arrays, in float64."""
    import torch

    def calculate(*numbers: Floats) -> Floats:
        with torch.no_grad():
            return np.asarray(function(*(torch.as_tensor(each, dtype=torch.float64) for each in numbers)))

    return calculate
