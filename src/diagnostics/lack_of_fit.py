"""Whether a curve of another shape would leave much less: the tests, each with its p-value.

Shapes and symbols as in `fitted.py`. Where sigma is absolute the tests are chi2 with variance 1, else F.
None where there are too few observations, or the question has no meaning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .fitted import Fitted, Floats, Ints

WITHIN = 1e-10  # of its length, a column across the tangents is rounding: it is within them
HELD = 1e-13  # far from 0 powers are nearly those of lower ones, but not that nearly
NEAR = 0.1  # of the next larger gap between readings: a smaller one is noise
SPAN = 2.0  # readings' largest over smallest, from which a logarithm is no straight line
PURE = 3  # degrees of freedom of pure error, from which it is known well enough


@dataclass(frozen=True)
class LackOfFit:
    """A test's statistic, F or chi2, its degrees of freedom, p, and what the other shape would leave.

    `ratio`: the residual standard deviation with the added columns over that without, 0 to a little above 1;
    of replicates, that of pure error over it. `powers` of the readings that were added; none for others.
    """

    statistic: float
    df: tuple[int, ...]
    p: float
    ratio: float
    powers: tuple[int, ...] = ()


class Runs(NamedTuple):
    """How many residuals are positive and negative, their runs of one sign, and p of so few or fewer."""

    positive: int
    negative: int
    runs: int
    p: float


def added(fit: Fitted, columns: Floats) -> LackOfFit | None:
    """The test of `columns` (N, q) as more terms of the model, made orthogonal to the tangents.

    None where N - K - q < 1, there are fewer set points than terms, or the tangents hold one of them.
    Source: extra sum of squares; Draper and Smith, Applied Regression Analysis (1998), 6.1.
    """
    q = columns.shape[1]
    free = fit.free - q
    if free < 1 or _levels(fit)[1] < fit.k + q:  # it could turn level at each set point
        return None
    whitened = fit.weights[:, None] * columns
    basis, r = np.linalg.qr(fit.across(whitened / np.linalg.norm(whitened, axis=0)))
    if np.abs(r.diagonal()).min() < WITHIN:
        return None
    along = basis.T @ fit.residuals
    left = fit.residuals - basis @ along
    return _compared(fit, float(along @ along), q, float(left @ left), free)


def curves(fit: Fitted) -> Iterator[LackOfFit]:
    """Each test of a curve of another shape that can be asked: two of powers, and the logarithm."""
    for found in (powers(fit, 1), powers(fit, 2), logarithm(fit)):
        if found:
            yield found


def powers(fit: Fitted, count: int) -> LackOfFit | None:
    """The test of the next `count` powers of the readings about the middle of their range, from the K-th on.

    A model like `w * t_u`, which holds the K-th power of the readings themselves, lacks a lower one on
    purpose: there it is their own powers, from the next one on.
    """
    own = fit.t_u / np.abs(fit.t_u).max()
    is_own = not fit.is_polynomial and _holds(fit, own**fit.k)
    asked = np.arange(fit.k, fit.k + count) + is_own
    found = added(fit, (own if is_own else fit.scaled)[:, None] ** asked)
    return found and replace(found, powers=tuple(asked.tolist()))


def _holds(fit: Fitted, column: Floats) -> bool:
    """Whether a term (N,) is the model's already, to rounding."""
    whitened = fit.weights * column
    return bool(np.linalg.norm(fit.across(whitened)) <= HELD * np.linalg.norm(whitened))


def logarithm(fit: Fitted) -> LackOfFit | None:
    """The test of ln t_u; None too where a reading is not positive, or all are within a factor of 2."""
    low, high = fit.t_u.min(), fit.t_u.max()
    return added(fit, np.log(fit.t_u)[:, None]) if low > 0 and high >= SPAN * low else None


def replicates(fit: Fitted) -> LackOfFit | None:
    """Whether the curve misses the means of repeated readings by more than they scatter.

    None where pure error has fewer than 3 degrees of freedom, or is 0: then rows are copies. Its variance is
    not below that of rounding. Source: Draper and Smith (1998), 2.1.
    """
    level, m = _levels(fit)
    apart = fit.residuals - fit.weights * _means(fit, level, m)[level]
    squares, pure = float(apart @ apart), fit.n - m
    if pure < PURE or m <= fit.k or squares <= fit.noise:
        return None
    return _compared(fit, fit.squares - squares, m - fit.k, squares, pure, float(fit.floors.mean()))


def runs(fit: Fitted, beyond: float = 0.0) -> Runs:
    """The runs of the residuals' signs along the readings; p is exact, with all orders alike.

    Of readings that repeat, the mean counts once, for in which order they stand says nothing; and only what
    is `beyond` so much, in the target's unit: the signs of what rounding left follow its own pattern.
    Source: Swed and Eisenhart, Annals of Mathematical Statistics 14 (1943), 66.
    """
    means = _means(fit, *_levels(fit))
    signs = means[np.abs(means) > beyond] > 0
    positive, negative = int(signs.sum()), int((~signs).sum())
    count = 1 + int((signs[1:] != signs[:-1]).sum())
    return Runs(positive, negative, count, _so_few(positive, negative, count))


def _so_few(positive: int, negative: int, count: int) -> float:
    """The probability of at most `count` runs: of the orders of the signs, the part that has so few."""
    if not positive or not negative:
        return 1.0
    each = np.arange(2, count + 1)
    more, fewer = (each + 1) // 2 - 1, each // 2 - 1

    def orders(first: int, second: int) -> Floats:
        return _choose(first - 1, more) + _choose(second - 1, fewer)

    every = _choose(positive + negative, np.array(positive))
    parts = np.exp([orders(positive, negative) - every, orders(negative, positive) - every])
    return min(1.0, float(parts.sum()))


def _choose(n: int, k: Ints) -> Floats:
    """The logarithm of how many ways there are to choose k of n; of thousands they are beyond a float."""
    from scipy.special import gammaln  # type: ignore[import-untyped]

    ways: Floats = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return ways


def _levels(fit: Fitted) -> tuple[Ints, int]:
    """Which of the m set points each observation (N,) is at, and m.

    A set point is one reading, or the noise of one: readings near each other that all have one reference
    value. Decades lie as near, but have values of their own.
    """
    order = np.argsort(fit.t_u, kind="stable")
    gaps, t_c = np.diff(fit.t_u[order]), fit.t_c[order]
    is_far = np.append(True, gaps > _noise(gaps))  # from the one before
    first = np.flatnonzero(is_far)
    has_one_value = np.maximum.reduceat(t_c, first) == np.minimum.reduceat(t_c, first)
    is_noise = ~is_far & has_one_value[np.cumsum(is_far) - 1]
    level = np.empty(fit.n, dtype=np.int64)
    level[order] = np.append(0, np.cumsum((gaps > 0) & ~is_noise[1:]))
    return level, int(level.max()) + 1


def _noise(gaps: Floats) -> float:
    """The largest of the gaps between readings that is within a set point, not between two of them."""
    falling = np.sort(gaps)[::-1]
    within = np.flatnonzero(falling[1:] < NEAR * falling[:-1])
    return float(falling[within[0] + 1]) if len(within) else 0.0


def _means(fit: Fitted, level: Ints, m: int) -> Floats:
    """The weighted mean residual (m,), not whitened, of each level (N,) of the readings."""
    sums = np.bincount(level, fit.weights * fit.residuals, m)
    means: Floats = sums / np.bincount(level, fit.weights**2, m)
    return means


def _compared(fit: Fitted, squares: float, q: int, left: float, free: int, least: float = 0.0) -> LackOfFit:
    """The test of `squares` with q degrees of freedom, beside what is `left` with `free`."""
    from scipy.special import chdtrc, fdtrc

    ratio = math.sqrt(left / free) / fit.scale
    if fit.is_absolute:
        return LackOfFit(squares, (q,), float(chdtrc(q, squares)), ratio)
    statistic = squares / q / max(fit.variance(left, free), least)
    return LackOfFit(statistic, (q, free), float(fdtrc(q, free, statistic)), ratio)
