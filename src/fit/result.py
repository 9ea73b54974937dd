"""What came of a run: its parameters, its curve, how far it is from the best fit, and its outcome."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..loop import LossCurves
from .advice import Reason, reason
from .plan import Run
from .schedule import curve_schedule
from .yardstick import Yardstick

# A gap is a difference of losses: below this part of the best fit's it is rounding. What lies lower says that
# the search for the best fit did not settle.
NOISE = 1e-9

Outcome = Literal["converged", "stopped", "diverged", "killed"]


@dataclass(frozen=True)
class Result:
    """What came of one run.

    `raw` and `trained` map the parameters' names to their final values, in raw input units, where the model
    has them, and as trained; both are empty where they are not finite. `loss_gap` is None there, too, and
    where no best fit is known. `epochs` and `losses` are the points of the loss curve, all finite. `outcome`
    is `killed` for a run that was interrupted; `reason` says why a run did not settle and what to try.
    """

    run: Run
    trained: dict[str, float]
    raw: dict[str, float]
    epochs: Sequence[int]
    losses: Sequence[float]
    loss_gap: float | None
    diverged_at: int | None
    outcome: Outcome
    reason: Reason | None

    @property
    def objective(self) -> float:
        """The final loss, infinity for a run that diverged: what a sweeper minimizes."""
        return math.inf if self.outcome == "diverged" or not self.losses else self.losses[-1]


def measure(runs: list[Run], trained: Tensor, curves: LossCurves) -> Iterator[Result]:
    """The results of R runs, from their final parameters (R, K) and their curves."""
    # An interrupted run's parameters are those whose loss is its curve's last, not a few epochs further on.
    scheduled = torch.tensor([len(curve_schedule(run.settings.epochs)) for run in runs])
    complete = (curves.points == scheduled.to(curves.points.device))[:, None]
    trained = torch.where(complete, trained, curves.measured)
    raw = torch.empty(trained.shape, dtype=torch.float64)
    gaps, is_close = torch.empty(len(runs), dtype=torch.float64), torch.empty(len(runs), dtype=torch.bool)
    for yardstick, members in _families(runs):
        raw[members] = yardstick.in_raw_units(yardstick.as_params(trained[members]))
        measured = yardstick.as_params(curves.measured[members])
        gaps[members] = yardstick.gaps(measured)
        is_close[members] = yardstick.converged(measured, trained.dtype)
    columns = (trained, raw, gaps, is_close, curves.points, curves.diverged_at, curves.losses)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for run, row in zip(runs, rows, strict=True):
        yield _result(run, *row)


def _families(runs: list[Run]) -> Iterator[tuple[Yardstick, list[int]]]:
    """Each best fit with the places of the runs that are measured against it."""
    places: dict[int, list[int]] = defaultdict(list)
    for place, run in enumerate(runs):
        places[id(run.input)].append(place)
    return ((runs[members[0]].input.yardstick, members) for members in places.values())


def _result(
    run: Run,
    trained: list[float],
    raw: list[float],
    gap: float,
    is_close: bool,
    points: int,
    diverged_at: int,
    losses: list[float],
) -> Result:
    epochs, names = curve_schedule(run.settings.epochs)[:points], run.problem.names
    yardstick = run.input.yardstick
    is_finite = all(map(math.isfinite, trained if yardstick.fold is None else raw))
    if not is_finite or (yardstick.fit.settled and not math.isfinite(gap)):
        diverged_at = diverged_at or run.settings.epochs
    usable = bool(epochs) and not diverged_at
    is_measured = usable and gap >= -NOISE * yardstick.fit.loss
    outcome = _outcome(run, points, diverged_at, is_measured and is_close)
    return Result(
        run=run,
        trained=dict(zip(names, trained, strict=True)) if usable else {},
        raw=dict(zip(names, raw, strict=True)) if usable and all(map(math.isfinite, raw)) else {},
        epochs=epochs,
        losses=losses[:points],
        loss_gap=max(gap, 0.0) if is_measured else None,
        diverged_at=diverged_at or None,
        outcome=outcome,
        reason=reason(run, outcome),
    )


def _outcome(run: Run, points: int, diverged_at: int, is_close: bool) -> Outcome:
    if diverged_at:
        return "diverged"
    if points < len(curve_schedule(run.settings.epochs)):
        return "killed"
    return "converged" if is_close else "stopped"
