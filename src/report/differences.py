"""Which params tell runs apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from ..spelling import ALWAYS, CHOICES, DATA, SCALE, SHIFT, is_detail


class HasParams(Protocol):
    """A run on record, or one that is forecast."""

    @property
    def params(self) -> Mapping[str, str]:
        """As they are on record, or would be."""


DECISIVE = (DATA[0], *CHOICES)


def distinguishing(runs: Sequence[HasParams]) -> list[str]:
    """The params that differ between runs, less those that follow from others that do."""
    every = [run.params for run in runs]
    differing = [key for key in keys(every) if len({params.get(key) for params in every}) > 1]
    apart = [key for key in differing if not is_detail(key)]
    # what was fitted follows from an option where there is one
    for key in sorted(differing, key=lambda key: (key == SHIFT, key == SCALE)):
        if is_detail(key) and _differs_among_alike(runs, [*DECISIVE, *apart], key):
            apart.append(key)
    return apart


def columns(runs: Sequence[HasParams]) -> list[str]:
    """The params that tell the runs apart, and those that are always worth a column."""
    apart = {*ALWAYS, *distinguishing(runs)}
    return [key for key in keys(run.params for run in runs) if key in apart]


def keys(mappings: Iterable[Mapping[str, object]]) -> list[str]:
    """All keys of many mappings, in their order; most have the same."""
    shapes = dict.fromkeys(tuple(each) for each in mappings)
    return list(dict.fromkeys(key for shape in shapes for key in shape))


def _differs_among_alike(runs: Sequence[HasParams], alike: Sequence[str], key: str) -> bool:
    """Whether runs that have all of `alike` in common, `lr` and `epochs` apart, differ in `key`."""
    values: dict[tuple[str | None, ...], set[str | None]] = {}
    for run in runs:
        settled = tuple(run.params.get(other) for other in alike if other not in ("lr", "epochs"))
        values.setdefault(settled, set()).add(run.params.get(key))
    return any(len(found) > 1 for found in values.values())
