"""The points of a grid: a setting that only some choices take is swept for those alone.

`normalization=scale,zscore normalization.factor=0.1,0.01` is three points, for zscore has no factor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from .functions import Function
from .losses import LOSSES
from .models import MODELS
from .normalization import NORMALIZATIONS
from .settings import settings_with

SHIPPED: dict[str, Mapping[str, Function]] = {
    "normalization": NORMALIZATIONS,
    "loss": LOSSES,
    "model": MODELS,
}
CHOICES = {key for group in SHIPPED for key in (group, f"{group}.function")}


def applicable(points: Sequence[list[str]]) -> list[list[str]]:
    """The points of a full grid, less what their own choices do not take but others' do.

    Of the points that differ in nothing else the first stays. What none of them takes stays, too, and is told
    as the mistake that it is.

    >>> losses, deltas = ("loss=mse", "loss=huber"), ("loss.delta=1", "loss.delta=2")
    >>> applicable([[loss, delta] for loss in losses for delta in deltas])
    [['loss=mse'], ['loss=huber', 'loss.delta=1'], ['loss=huber', 'loss.delta=2']]
    """
    first = points[0] if points else []
    places = [place for place, each in enumerate(first) if _key(each) in CHOICES]
    known = [_known(tuple(point[place] for place in places)) for point in points]
    every = set(known)
    conditional = frozenset().union(*every) - frozenset.intersection(*every) if every else frozenset()
    if not any(_key(each) in conditional for each in first):
        return list(points)
    found = []
    for point, mine in zip(points, known, strict=True):
        kept = [each for each in point if (key := _key(each)) in mine or key not in conditional]
        if all(each in kept or each in first for each in point):
            found.append(kept)
    return found


@cache
def _known(choices: tuple[str, ...]) -> frozenset[str]:
    """The settings with these choices; a group that is none of them is the same at all points."""
    given = {_key(each): each.partition("=")[2].strip("'\"") for each in choices}
    chosen = {group: _chosen(given, group) for group in SHIPPED}
    return frozenset(each.key for each in settings_with(**chosen))


def _chosen(given: Mapping[str, str], group: str) -> str:
    own = given.get(f"{group}.function", "null")
    return own if own != "null" else given.get(group, next(iter(SHIPPED[group])))


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+")
