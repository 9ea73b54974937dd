"""A reading that is off, and two that hide each other.

Shapes and symbols as in `fitted.py`. A p-value counts all the readings, or pairs, that it was chosen from
(Bonferroni).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .fitted import Fitted, Floats
from .influence import ALONE

MOST_PAIRED = 200  # the readings farthest off; all pairs of thousands would take gigabytes
ALIKE = 0.002  # p above which two readings fit where the other one was


@dataclass(frozen=True)
class Outlier:
    """The places of one or two readings, the statistic (t of one, F of two), p, and S of the others."""

    places: tuple[int, ...]
    statistic: float
    p: float
    squares: float
    swapped: bool = False

    def scale(self, fit: Fitted) -> float:
        """The residual standard deviation of the others."""
        return math.sqrt(self.squares / (fit.free - len(self.places)))


def outlier(fit: Fitted) -> Outlier | None:
    """The largest externally studentized residual, t with N - K - 1; None for N < K + 2.

    Source: Cook and Weisberg, Residuals and Influence in Regression (1982), 2.2.2.
    """
    from scipy.special import stdtr  # type: ignore[import-untyped]

    free = fit.free - 1
    own = 1 - fit.leverages
    if free < 1 or not (own > ALONE).any():
        return None
    place = int(np.argmax(_studentized(fit)))
    squares = fit.squares_without(place)
    away = fit.residuals[place] / own[place]  # whitened, from the fit to the others
    t = float(away * math.sqrt(own[place] / _variance(fit, [place], squares, away)))
    return Outlier((place,), t, min(1.0, 2 * fit.n * float(stdtr(free, -abs(t)))), squares)


def pair(fit: Fitted) -> Outlier | None:
    """The two without which least is left, F with 2 and N - K - 2; None for N < K + 3.

    Two lines of a file that were swapped are off together, and neither alone.
    Source: Cook and Weisberg (1982), 2.2.3.
    """
    from scipy.special import fdtrc

    free = fit.free - 2
    if free < 1:
        return None
    places = _farthest_together(fit)
    if places is None:
        return None
    squares = fit.squares_without(*places)
    two = list(places)
    own = np.eye(2) - fit.basis[two] @ fit.basis[two].T
    away = np.linalg.solve(own, fit.residuals[two])
    variance = _variance(fit, two, squares, away)
    statistic = float(away @ own @ away) / 2 / variance
    t_c, root = fit.t_c[two], fit.weights[two]
    back = away + root * (t_c[::-1] - t_c)
    p_swapped = float(fdtrc(2, free, float(back @ own @ back) / 2 / variance))
    p = min(1.0, math.comb(fit.n, 2) * float(fdtrc(2, free, statistic)))
    return Outlier(places, statistic, p, squares, p_swapped > ALIKE)


def _variance(fit: Fitted, places: list[int], squares: float, away: np.ndarray) -> float:
    """Of one observation, whitened, by the S of the others, for places that are so far away from their fit.

    Not below rounding's, for on the readings' own grid rounded values agree, until one is a step off; what is
    less than half a step away is no rounding.
    """
    variance = fit.variance(squares, fit.free - len(places))
    if np.abs(away / fit.weights[places]).max() < fit.step / 2:
        return variance
    return max(variance, float(fit.floors[places].mean()))


def _studentized(fit: Fitted) -> Floats:
    """The absolute residuals (N,) over the root of what is their own; 0 for a leverage of 1."""
    own = 1 - fit.leverages
    studentized: Floats = np.abs(fit.residuals) / np.sqrt(np.where(own > ALONE, own, np.inf))
    return studentized


def _farthest_together(fit: Fitted) -> tuple[int, int] | None:
    """The two places without which the sum of squares falls most; None where no two can be left out."""
    near = np.sort(np.argsort(-_studentized(fit))[:MOST_PAIRED])
    shared = fit.basis[near] @ fit.basis[near].T
    own, r = 1 - shared.diagonal(), fit.residuals[near]
    determinant = np.outer(own, own) - shared**2
    cross = np.outer(own, r**2)
    gain = cross + cross.T + 2 * shared * np.outer(r, r)
    gain = np.where(determinant > ALONE, gain / np.where(determinant > ALONE, determinant, 1), 0)
    np.fill_diagonal(gain, 0)
    if not gain.max() > 0:
        return None
    i, j = np.unravel_index(int(np.argmax(gain)), gain.shape)
    first, second = sorted((int(near[i]), int(near[j])))
    return first, second
