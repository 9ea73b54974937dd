"""The rows of the map of gaps: learning rates, and the best gap at each."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...spelling import PROBLEM, SCALE, natural
from ...tracking.record import TrackedRun
from ..differences import distinguishing
from ._canvas import Floats

MOST_ROWS = 24
COLLAPSED = (*PROBLEM, "normalization", SCALE)  # what rows stand for where there are too many
WIDEST = math.sqrt(10)  # a cell reaches so far to each side, as a factor, where no neighbour is nearer
ALONE = 1.13  # and one without neighbours: a band would claim that more was tried


@dataclass(frozen=True)
class Row:
    """The runs of one combination of settings: ascending learning rates, the best gap at each, NaN for none.

    `limit` is the largest stable learning rate, NaN where no run got so far as to record it.
    """

    run: TrackedRun  # the best of them
    lrs: Floats
    gaps: Floats
    limit: float

    @property
    def edges(self) -> Floats:
        """(cells, 2): to the geometric middle between neighbours."""
        steps = np.minimum(np.sqrt(self.lrs[1:] / self.lrs[:-1]), WIDEST)
        steps = steps if len(steps) else np.array([ALONE])
        left = np.concatenate([steps[:1], steps])[: len(self.lrs)]
        right = np.concatenate([steps, steps[-1:]])[-len(self.lrs) :]
        return np.column_stack([self.lrs / left, self.lrs * right])

    @property
    def middles(self) -> Floats:
        """(cells,): where to write in a cell."""
        return np.asarray(np.exp(np.log(self.edges).mean(axis=1)))


def rows_of(runs: Sequence[TrackedRun]) -> tuple[list[str], list[Row], bool, int]:
    """What tells rows apart; the rows from the top; whether some were joined; how many are left out."""
    apart = [key for key in distinguishing(runs) if key != "lr"]
    known = [key for key in COLLAPSED if key in apart or key == "normalization"]
    keys = known + [key for key in apart if key not in known]
    rows = _grouped(runs, keys)
    if joined := len(rows) > MOST_ROWS:
        keys = [key for key in keys if key in COLLAPSED]
        rows = _grouped(runs, keys)
    best = rows[:MOST_ROWS]
    return keys, sorted(best, key=lambda row: _order(row, keys)), joined, len(rows) - len(best)


def _grouped(runs: Sequence[TrackedRun], keys: Sequence[str]) -> list[Row]:
    """A row for each combination, in the order of their first runs."""
    groups: dict[tuple[str | None, ...], list[TrackedRun]] = defaultdict(list)
    for run in runs:
        groups[tuple(run.params.get(key) for key in keys)].append(run)
    return [_row(group) for group in groups.values()]


def _row(runs: Sequence[TrackedRun]) -> Row:
    gaps: dict[float, float] = {}
    limit = math.nan
    for run in runs:
        lr = float(run.params["lr"])
        gaps[lr] = np.fmin(gaps.get(lr, math.nan), run.metrics.get("loss_gap", math.nan))
        limit = lr / run.metrics["lr_over_limit"] if "lr_over_limit" in run.metrics else limit
    lrs = np.array(sorted(gaps))
    return Row(runs[0], lrs, np.array([gaps[lr] for lr in lrs]), limit)


def _order(row: Row, keys: Sequence[str]) -> list[tuple[float, str]]:
    """By problem; then by limit, so that the limits are a staircase; then by what else there is."""
    settings = {key: natural(row.run.params.get(key, "")) for key in keys}
    problem = [settings.pop(key) for key in PROBLEM if key in settings]
    return [*problem, (float(f"{np.nan_to_num(row.limit):.5g}"), ""), *settings.values()]
