"""Models and losses as plain functions, as in the chapter.

A model takes the input and then its parameters by name; its signature is the list of its parameters.
The same function serves one run (`t_u` (N,), scalars) and R runs at once (`t_u` (R, N), each
parameter (R, 1)): broadcasting does the rest, and autograd finds every derivative.

All models here are polynomials with the highest power first. That is what lets `normalization.fold`
express trained parameters in raw input units exactly.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch takes two seconds to import; a mistake on the command line must not wait
    from torch import Tensor

Model = Callable[..., "Tensor"]
Loss = Callable[["Tensor", "Tensor"], "Tensor"]


def linear(t_u: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """The chapter's model, `w * t_u + b`."""
    return w * t_u + b


def quadratic(t_u: Tensor, w2: Tensor, w1: Tensor, b: Tensor) -> Tensor:
    """The chapter's exercise, `w2 * t_u**2 + w1 * t_u + b`: for an instrument that is not straight."""
    return w2 * t_u**2 + w1 * t_u + b


MODELS: dict[str, Model] = {"linear": linear, "quadratic": quadratic}


def parameter_names(model: Model) -> tuple[str, ...]:
    """The K names of a model's parameters, in the order in which it takes them.

    >>> parameter_names(linear)
    ('w', 'b')
    """
    return tuple(inspect.signature(model).parameters)[1:]


def formula(params: Sequence[float], t_u: str) -> str:
    """A model's curve in terms of its input's name; parameters with the highest power first.

    >>> formula([0.25, 1, -17.304785], "volt")
    '0.25 * volt**2 + 1 * volt - 17.3048'
    """
    highest = len(params) - 1
    powers = ["", f" * {t_u}", *(f" * {t_u}**{power}" for power in range(2, highest + 1))]
    terms = [f"{'-' if p < 0 else '+'} {abs(p):.6g}" for p in params]
    joined = " ".join(term + power for term, power in zip(terms, reversed(powers), strict=True))
    return joined.removeprefix("+ ")


def loss_fn(t_p: Tensor, t_c: Tensor) -> Tensor:
    """Mean squared error over the observations: (..., N) and (..., N) -> (...).

    Raises ValueError where the last dimensions differ: (N,) against (N, 1) would broadcast to
    (N, N) and give a wrong loss in silence.
    """
    if t_p.shape[-1] != t_c.shape[-1]:
        raise ValueError(
            f"predictions {tuple(t_p.shape)} and targets {tuple(t_c.shape)} "
            "must have the same number of observations in their last dimension"
        )
    squared_diffs = (t_p - t_c) ** 2  # (..., N)
    return squared_diffs.mean(dim=-1)
