"""What a run trained again shows: the same to the bit, or what differs and what may be why."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..config import printable
from ..tracking.repetition import Difference, Repetition

MOST_NAMED = 5


def show(found: Repetition) -> None:
    """The lines on standard output."""
    for line in lines(found):
        print(printable(line))


def lines(found: Repetition) -> Iterator[str]:
    """What was repeated, on which data, and whether the numbers are the same."""
    yield f"repeated     {found.run.name}, run {found.run.run_id}; nothing new is on record"
    yield f"data         {f'{found.data}: those on record were taken' if found.data else 'the same'}"
    if not found.differences:
        curve = f"{found.points} points of the loss curve"
        yield f"result       the same to the bit: {curve}, and all final numbers"
    else:
        named = [_different(each) for each in found.differences[:MOST_NAMED]]
        more = len(found.differences) - len(named)
        yield f"result       another: {'; '.join(named)}{f'; and {more} more numbers' if more else ''}"
    if found.changed:
        yield f"changed      {'; '.join(found.changed)}"
    elif found.differences:
        yield "changed      nothing that is on record: neither code nor versions nor processor"


def _different(each: Difference) -> str:
    """
    >>> _different(Difference("loss", 2.0, 2.5, 12))
    'loss 2.0, now 2.5, from epoch 12 on'
    >>> _different(Difference("w", 0.5, float("nan")))
    'w 0.5, now none'
    """
    now = "none" if math.isnan(each.now) else repr(each.now)
    return f"{each.name} {each.before!r}, now {now}{f', from epoch {each.epoch} on' if each.epoch else ''}"
