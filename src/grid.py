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


def applicable(points: Sequence[Sequence[str]]) -> list[list[str]]:
    """The overrides of each point, less what its own choices do not take but others' do; each point once.

    What none of them takes stays, and is told as the mistake that it is.
    """
    known = [_known(point) for point in points]
    every = set(known)
    conditional = frozenset().union(*every) - frozenset.intersection(*every) if every else frozenset()
    kept = (
        tuple(each for each in point if (key := _key(each)) in mine or key not in conditional)
        for point, mine in zip(points, known, strict=True)
    )
    return [list(point) for point in dict.fromkeys(kept)]


def _known(point: Sequence[str]) -> frozenset[str]:
    """The settings with a point's choices; a group that it does not choose is the same in all."""
    given = {_key(each): each.partition("=")[2].strip("'\"") for each in point}
    return _settings(*(_chosen(given, group) for group in SHIPPED))


@cache
def _settings(normalization: str, loss: str, model: str) -> frozenset[str]:
    return frozenset(each.key for each in settings_with(normalization, loss, model))


def _chosen(given: Mapping[str, str], group: str) -> str:
    own = given.get(f"{group}.function", "null")
    return own if own != "null" else given.get(group, next(iter(SHIPPED[group])))


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+")
