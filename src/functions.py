"""What the project reads from a plain function: which there are, and what each takes.

A model's parameters are its signature's, after the input; a normalization's options likewise. So adding
one is writing it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, get_origin

from .kinds import Finite

Function = Callable[..., Any]


def public(module: str) -> dict[str, Function]:
    """The functions that a module defines under a name without a leading underscore, in its order."""
    return {
        name: value
        for name, value in vars(sys.modules[module]).items()
        if inspect.isfunction(value) and value.__module__ == module and not name.startswith("_")
    }


@cache
def arguments(function: Function) -> dict[str, Any]:
    """What a function takes after the input or the result it is about: a kind of value by name.

    An argument without a kind of its own, as in `factor: Positive`, may be any finite number.
    """
    _, *others = inspect.signature(function).parameters.values()
    kinds = {each.name: each.annotation for each in others}
    return {name: kind if get_origin(kind) is not None else Finite for name, kind in kinds.items()}


def parameter_names(model: Function) -> tuple[str, ...]:
    """The K names of a model's parameters, in the order in which it takes them."""
    return tuple(arguments(model))
