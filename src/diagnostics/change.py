"""Has an instrument changed between two calibrations of it? On arrays alone.

The difference of two curves, over its standard uncertainty, is looked at everywhere in the common range, and
the largest is taken: so it is held against a bound for all readings at once, `sqrt(K F)`, F the 95 %
quantile for K and the degrees of freedom, K the dimension of what the two curves may differ by (Scheffé,
Biometrika 40 (1953), 87). Of two estimates of scatter the smaller degrees of freedom are taken, on the safe
side; what all reference values share counts in both, for whether they share it with each other is not known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .fitted import Floats

COVERAGE = 0.95


class Place(NamedTuple):
    """A reading, by how much the value there has changed, and how many standard uncertainties that is."""

    reading: float
    change: float
    ratio: float


@dataclass(frozen=True)
class Change:
    """Where the change is largest, and where it is clearest; `bound` on the ratio of all readings at once."""

    largest: Place
    clearest: Place
    bound: float

    @property
    def is_significant(self) -> bool:
        """Whether it is more than the uncertainties of both leave open."""
        return abs(self.clearest.ratio) > self.bound


def change(readings: Floats, differences: Floats, u: Floats, k: int, df: float | None) -> Change:
    """Of differences (P,), now less then, with standard uncertainties `u`, at readings (P,).

    `df` are the smaller degrees of freedom of both, None where the scatter of both is known.
    """
    with np.errstate(all="ignore"):  # where both curves are certain: at the origin of one through it
        ratios = np.nan_to_num(differences / u, nan=0.0, posinf=math.inf, neginf=-math.inf)

    def place(at: int) -> Place:
        return Place(float(readings[at]), float(differences[at]), float(ratios[at]))

    largest, clearest = (int(np.argmax(np.abs(each))) for each in (differences, ratios))
    return Change(place(largest), place(clearest), bound(k, df))


def bound(k: int, df: float | None) -> float:
    """How many standard uncertainties differences of K dimensions reach anywhere, in 95 % of cases at most.

    >>> round(bound(1, None), 2), round(bound(2, 9), 2), round(bound(2, None), 2)
    (1.96, 2.92, 2.45)
    """
    from scipy.special import chdtri, fdtri  # type: ignore[import-untyped]

    return math.sqrt(chdtri(k, 1 - COVERAGE) if df is None else k * fdtri(k, df, COVERAGE))
