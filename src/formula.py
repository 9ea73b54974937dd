"""A calibration in words that a person can copy: with as many digits as it needs to predict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from . import polynomial
from .functions import Floats, Function, on_arrays, resolve
from .models import MODELS
from .normalization import UNCHANGED, Affine
from .polynomial import fold_matrix, is_polynomial
from .spelling import FIRST_LOSS

Calibration = tuple[dict[str, float], Affine]  # parameters by name, and the normalization they are about
Ranges = tuple[tuple[float, float], tuple[float, float]]  # the least and the largest reading and true value

OFFSET = 100  # spans: readings farther from 0 are written about their middle
DIGITS = range(6, 17)  # with 17 a number is itself
EXACT = 1e-6  # of the target's span: what matters where next to nothing is left of it
POINTS = 33  # of the range, at which predictions are looked at


def formula(
    recorded: Mapping[str, str], calibration: Calibration, ranges: Ranges | None, loss: float | None
) -> str:
    """A run's calibration in terms of its columns: `t_c = 0.536 * t_u - 17.3`.

    Its numbers have six digits, and more where rounding them would move a prediction within the range by more
    than a hundredth of what the `loss` leaves. A polynomial is one of the raw input, or of its distance from
    the middle of the range: `0.397 * (volt - 1234567) + 3.2`. Without `ranges` there are all digits.
    """
    params, about = calibration
    name, t_u = recorded["model"], recorded["data_input"]
    model = _numeric(name)
    within = _within(recorded, ranges, loss)
    if model and is_polynomial(model, len(params)):
        centre, reach = _about(ranges)
        fold = _fold(about, centre, len(params))
        texts = _coefficients((fold @ list(params.values())).tolist(), reach, within / len(params))
        written = polynomial.formula(texts, _shifted(t_u, _shortest(centre.shift)))
    else:
        t_seen = np.linspace(*ranges[0], POINTS) if ranges else np.empty(0)
        numbers = [about.shift, about.scale, *params.values()]

        def predict(shift: float, scale: float, *params: float) -> Floats:
            return model((t_seen - shift) * scale, *params) if model else np.full(1, math.nan)

        shift, scale, *texts = _texts(predict, numbers, within)
        seen = _shifted(t_u, shift) + (f" * {scale}" if about.scale != 1 else "")
        written = f"{name}({', '.join([seen, *map('='.join, zip(params, texts, strict=True))])})"
    return f"{recorded['data_target']} = {written}"


@lru_cache
def _about(ranges: Ranges | None) -> tuple[Affine, float]:
    """What a polynomial is written about, and how far from there the readings reach."""
    if ranges is None:
        return UNCHANGED, math.nan
    centre = _centre(*ranges[0])
    return Affine(centre, 1.0), max(abs(reading - centre) for reading in ranges[0])


@lru_cache
def _fold(about: Affine, centre: Affine, n_params: int) -> Floats:
    return fold_matrix(about.of(centre), n_params)


def _coefficients(numbers: Sequence[float], reach: float, share: float) -> list[str]:
    """A polynomial's, the highest power first: each moves a prediction most where the readings reach."""

    def text(number: float, power: int) -> str:
        return _short(number, lambda short: abs(short - number) * reach**power <= share)

    return [text(number, power) for number, power in zip(numbers, reversed(range(len(numbers))), strict=True)]


def _numeric(name: str) -> Function | None:
    """A model of arrays; None for one that is gone."""
    try:
        return MODELS.get(name) or on_arrays(resolve(name, MODELS))
    except LookupError:
        return None


def _within(recorded: Mapping[str, str], ranges: Ranges | None, loss: float | None) -> float:
    """By how much rounding may move a prediction, in the target's unit.

    The root mean square of the residuals is the root of a loss of squares; of the other shipped losses it is
    at least this root or the loss itself, whichever is less. A loss below 0 tells nothing of them.
    """
    if ranges is None:
        return 0.0
    loss = max(loss or 0.0, 0.0)
    is_squares = recorded.get("loss", FIRST_LOSS) == FIRST_LOSS
    residual = math.sqrt(loss) if is_squares else min(loss, math.sqrt(loss))
    low, high = ranges[1]
    return max(residual / 100, EXACT * (high - low))


def _centre(low: float, high: float) -> float:
    """The middle of a range that is far from 0, to a tenth of its span or so; or else 0."""
    span = high - low
    if not max(abs(low), abs(high)) > OFFSET * span > 0:
        return 0.0
    return round(low + span / 2, 1 - math.floor(math.log10(span)))


def _texts(predict: Callable[..., Floats], numbers: Sequence[float], within: float) -> list[str]:
    """Each number with as few digits as its share of `within` allows."""

    def text(place: int) -> str:
        def is_near(short: float) -> bool:
            moved = predict(*numbers[:place], short, *numbers[place + 1 :])
            return bool((abs(moved - expected)[defined] <= within / len(numbers)).all() and defined.any())

        return _short(numbers[place], is_near)

    with np.errstate(all="ignore"):  # of a function that is not defined everywhere
        expected = predict(*numbers)
        defined = np.isfinite(expected)
        return [text(place) for place in range(len(numbers))]


def _short(number: float, is_near: Callable[[float], bool]) -> str:
    """With as few digits as are near enough."""
    shorter = (f"{number:.{digits}g}" for digits in DIGITS)
    return next((short for short in shorter if is_near(float(short))), repr(number))


def _shifted(t_u: str, shift: str) -> str:
    """
    >>> _shifted("volt", "0"), _shifted("volt", "1.5"), _shifted("volt", "-1.5")
    ('volt', '(volt - 1.5)', '(volt + 1.5)')
    """
    if float(shift) == 0:
        return t_u
    return f"({t_u} + {shift[1:]})" if shift.startswith("-") else f"({t_u} - {shift})"


def _shortest(number: float) -> str:
    return repr(number).removesuffix(".0")
