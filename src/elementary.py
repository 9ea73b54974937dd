"""Elementary functions for models: of tensors, of numpy arrays and of numbers alike.

A model of operators and these alone needs no torch where it only predicts: a logged one takes numpy's,
which have the same names. Where there is no value, nothing is said: it is nan or infinite, as torch has it.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

T = TypeVar("T")


def exp(x: T) -> T:
    """`e**x`."""
    return cast(T, _of(x, "exp"))


def log(x: T) -> T:
    """The natural logarithm."""
    return cast(T, _of(x, "log"))


def sqrt(x: T) -> T:
    """The square root."""
    return cast(T, _of(x, "sqrt"))


def _of(x: Any, name: str) -> Any:
    """A tensor has the function itself; numpy serves the rest."""
    if hasattr(x, name):
        return getattr(x, name)()
    import numpy as np

    with np.errstate(all="ignore"):
        return getattr(np, name)(x)
