"""The epochs at which a run's loss is recorded, and those that a single run prints."""

from __future__ import annotations

import math
from functools import cache


@cache
def curve_schedule(epochs: int, points: int = 12) -> tuple[int, ...]:
    """The epochs at which a run's loss is recorded, ascending: so many points in each tenfold of epochs.

    Evenly on a log axis and the same whatever the number of epochs, so that two runs that differ in it alone
    lie on one another; beside them every tenth of the epochs, so that 5000 hold the chapter's 500, 1000, ….

    >>> curve_schedule(12), len(curve_schedule(5000))
    ((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), 50)
    """
    last = math.floor(points * math.log10(epochs) + 1e-9)
    even = {round(10 ** (part / points)) for part in range(last + 1)}
    return tuple(sorted(even | tenths(epochs)))


@cache
def tenths(epochs: int) -> frozenset[int]:
    """The epochs that a single run prints: every tenth part, so 5000 give 500, 1000, ...."""
    return frozenset(-(-epochs * part // 10) for part in range(1, 11))
