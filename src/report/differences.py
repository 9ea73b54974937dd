"""Which params tell runs apart."""

from __future__ import annotations

from collections.abc import Sequence

from ..tracking.record import TrackedRun

DECISIVE = ("data", "model", "normalization")
FOLLOWING = ("data_", "normalization_", "start_")  # beginnings of params that mostly follow from those


def told_apart(runs: Sequence[TrackedRun]) -> list[str]:
    """The params that differ between runs, less those that follow from others that do."""
    keys = dict.fromkeys(key for run in runs for key in run.params)
    differing = [key for key in keys if len({run.params.get(key) for run in runs}) > 1]
    apart = [key for key in differing if not key.startswith(FOLLOWING)]
    for key in sorted(differing, key=lambda key: key == "normalization_shift"):
        if key.startswith(FOLLOWING) and _differs_among_alike(runs, [*DECISIVE, *apart], key):
            apart.append(key)
    return apart


def _differs_among_alike(runs: Sequence[TrackedRun], alike: Sequence[str], key: str) -> bool:
    """Whether runs that have all of `alike` in common, `lr` and `epochs` apart, differ in `key`."""
    values: dict[tuple[str | None, ...], set[str | None]] = {}
    for run in runs:
        settled = tuple(run.params.get(other) for other in alike if other not in ("lr", "epochs"))
        values.setdefault(settled, set()).add(run.params.get(key))
    return any(len(found) > 1 for found in values.values())
