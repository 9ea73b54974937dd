"""Models as plain functions, as in the chapter: every public function here can be chosen by its name.

A model takes the input and then its parameters by name; its signature is the list of its parameters.
The same function serves one run (`t_u` (N,), scalars) and R runs at once (`t_u` (R, N), each
parameter (R, 1)): broadcasting does the rest, and autograd finds every derivative. Where a model starts
stands beside its description in conf/model/.

They are written with operators and `elementary` alone, so that a model on record needs no torch. Where a
model of a normalized input is also one of the raw input, its attribute `in_raw_units` says with which
parameters, see `functions.raw_form`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .elementary import exp, log
from .functions import public

if TYPE_CHECKING:  # torch takes two seconds to import; a mistake on the command line must not wait
    from torch import Tensor

Model = Callable[..., "Tensor"]


def linear(t_u: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """The chapter's model, `w * t_u + b`."""
    return w * t_u + b


def proportional(t_u: Tensor, w: Tensor) -> Tensor:
    """`w * t_u`: for an instrument that shows 0 at 0."""
    return w * t_u


def _proportional_in_raw_units(shift: float, scale: float, w: Tensor) -> tuple[Tensor, ...]:
    del shift  # there is none
    return (w * scale,)


proportional.in_raw_units = _proportional_in_raw_units  # type: ignore[attr-defined]


def quadratic(t_u: Tensor, w2: Tensor, w1: Tensor, b: Tensor) -> Tensor:
    """The chapter's exercise, `w2 * t_u**2 + w1 * t_u + b`: for an instrument that is not straight."""
    return w2 * t_u**2 + w1 * t_u + b


def exponential(t_u: Tensor, a: Tensor, k: Tensor, b: Tensor) -> Tensor:
    """`a * exp(k * t_u) + b`: what grows, or settles, by the same part in every step."""
    grown: Tensor = a * exp(k * t_u) + b
    return grown


def _exponential_in_raw_units(
    shift: float, scale: float, a: Tensor, k: Tensor, b: Tensor
) -> tuple[Tensor, ...]:
    return a * exp(-k * scale * shift), k * scale, b


exponential.in_raw_units = _exponential_in_raw_units  # type: ignore[attr-defined]


def power(t_u: Tensor, a: Tensor, k: Tensor) -> Tensor:
    """`a * t_u**k`, of readings above 0: a straight line on two logarithmic axes."""
    return a * t_u**k


def _power_in_raw_units(shift: float, scale: float, a: Tensor, k: Tensor) -> tuple[Tensor, ...]:
    del shift  # with one there is no such form: this one predicts otherwise, and is not taken
    return a * scale**k, k


power.in_raw_units = _power_in_raw_units  # type: ignore[attr-defined]


def steinhart_hart(t_u: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The temperature in °C of a thermistor of resistance `t_u` in ohms.

    Source: Steinhart and Hart, Calibration curves for thermistors (1968).
    """
    logarithm = log(t_u)
    kelvin: Tensor = 1 / (a + b * logarithm + c * logarithm**3)
    return kelvin - 273.15


steinhart_hart.unit = "°C"  # type: ignore[attr-defined]


MODELS: dict[str, Model] = public(__name__)
