"""What the curvature at the best fit says of learning rates and epochs, and how that reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch takes two seconds to import
    from torch import Tensor

ROUNDING = 1e-9  # what a limit is known to


def limit_in_digits(limit: float, lr: float = math.nan) -> str:
    """Three digits, or as many as tell it from a rate; rounded down, so that what it reads is stable.

    >>> limit_in_digits(0.000339934), limit_in_digits(0.0329782, 0.0329)
    ('0.000339', '0.03297')
    """
    if abs(limit - lr) < ROUNDING * limit:
        lr = math.nan
    for digits in range(3, 16):
        text = f"{rounded(limit, math.floor, digits):.15g}"
        if float(text) != lr:
            return text
    return repr(limit)


def rounded(number: float, how: Callable[[float], int], digits: int = 2) -> float:
    """To so many digits: 0.0329 down to 0.032, 1236 up to 1300."""
    unit = 10.0 ** (math.floor(math.log10(number)) - digits + 1)
    return how(round(number / unit, 6)) * unit


def fastest_rate(curvature: Tensor) -> float:
    """The learning rate whose slowest direction is fastest: `2 / (lambda_min + lambda_max)`.

    Source: Polyak, Introduction to Optimization (1987), 1.4.
    """
    return 2 / float(curvature[0] + curvature[-1])


def epochs_enough(curvature: Tensor, lr: float, start_gap: float, gap: float) -> float:
    """The epochs after which descent from `start_gap` is under `gap`; infinity for never, as for a gap of 0.

    Where the loss is quadratic the gap is a sum of squares, each multiplied by `(1 - lr * lambda)**2` an
    epoch, so the largest of these factors bounds them all; elsewhere that is an estimate. A bound in
    exact arithmetic: float32 may not resolve so small a gap.
    """
    factor = max(abs(1 - lr * axis) for axis in curvature.tolist())
    if start_gap <= gap:
        return 0
    if factor == 0:
        return 1
    if gap == 0:
        return math.inf
    return math.ceil(math.log(gap / start_gap) / (2 * math.log(factor))) if factor < 1 else math.inf


def beyond(limit: str, ratios: Iterable[float]) -> str:
    """How far the rates are above a limit that are so many times as large.

    >>> beyond("0.0329", [1037.2, 1.0000004, 1.5]), beyond("0.0329", [1.234]), beyond("1", [1 + 4e-16])
    ('1.0000004 to 1,040 times the limit 0.0329', '1.2 times the limit 0.0329', 'at the limit 1')
    """
    least, most = min(ratios := list(ratios)), max(ratios)
    if most < 1 + ROUNDING:
        return f"at the limit {limit}"
    return f"{' to '.join(dict.fromkeys(map(_times, (least, most))))} times the limit {limit}"


def _times(ratio: float) -> str:
    """In two digits at least and as many as tell it from 1, but for rounding.

    >>> _times(1 + 4e-16), _times(1.0000004), _times(1.234), _times(29.4), _times(1037.2), _times(1.1e7)
    ('1', '1.0000004', '1.2', '29', '1,040', '1.1e+07')
    """
    if ratio < 1 + ROUNDING:
        return "1"
    if ratio < 1.1:
        return f"{ratio:.{2 - math.floor(math.log10(ratio - 1))}g}"
    return f"{ratio:.2g}" if not 99 < ratio < 1e6 else f"{float(f'{ratio:.3g}'):,.0f}"
