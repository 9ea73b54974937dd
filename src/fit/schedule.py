"""The epochs at which a run's loss is recorded, and those that a single run prints."""

from __future__ import annotations

from functools import cache


@cache
def curve_schedule(epochs: int) -> tuple[int, ...]:
    """The epochs at which a run's loss is recorded: about 100, ascending.

    The first twenty, where a run diverges or drops fast, then eighty evenly to the last: every tenth
    of the epochs is among them, so 5000 epochs hold the chapter's 500, 1000, ....

    >>> [e for e in curve_schedule(5000) if e % 500 == 0][:3], len(curve_schedule(5000))
    ([500, 1000, 1500], 100)
    """
    even = {-(-epochs * part // 80) for part in range(1, 81)}
    return tuple(sorted(set(range(1, min(epochs, 20) + 1)) | even))


def tenths(epochs: int) -> set[int]:
    """The epochs that a single run prints: every tenth part, so 5000 give 500, 1000, ...."""
    return {-(-epochs * part // 10) for part in range(1, 11)}
