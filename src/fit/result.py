"""What came of a run: its parameters, its curve, how far it is from the exact optimum, and its outcome."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..loop import LossCurves
from .advice import Reason, reason
from .plan import Run
from .schedule import curve_schedule
from .yardstick import loss_gap

Outcome = Literal["converged", "stopped", "diverged", "killed"]


@dataclass(frozen=True)
class Result:
    """What came of one run.

    `raw` and `trained` map the parameters' names to their final values, in raw input units and as
    trained; both are empty, and `loss_gap` is None, where they are not finite. `epochs` and `losses` are
    the points of the loss curve, all finite. `outcome` is `killed` for a run that was interrupted;
    `reason` says why a run did not settle and what to try.
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
    """The results of R runs of one problem, from their final parameters (R, K) and their curves."""
    problem = runs[0].problem
    # An interrupted run's parameters are those whose loss is its curve's last, not a few epochs further on.
    scheduled = torch.tensor([len(curve_schedule(run.settings.epochs)) for run in runs])
    complete = (curves.points == scheduled.to(curves.points.device))[:, None]
    trained = torch.where(complete, trained, curves.measured)
    fold = torch.stack([run.input.fold for run in runs])  # (R, K, K)
    raw = _folded(fold, trained)
    gaps = loss_gap(problem.model, _folded(fold, curves.measured), problem.optimum, problem.t_u)
    columns = (trained, raw, gaps, curves.points, curves.diverged_at, curves.losses)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for run, row in zip(runs, rows, strict=True):
        yield _result(run, *row)


def _folded(fold: Tensor, params: Tensor) -> Tensor:
    """(R, K, K) and trained (R, K) -> raw (R, K) float64."""
    return (fold @ params.to("cpu", torch.float64)[:, :, None])[:, :, 0]


def _result(
    run: Run,
    trained: list[float],
    raw: list[float],
    gap: float,
    points: int,
    diverged_at: int,
    losses: list[float],
) -> Result:
    epochs, names = curve_schedule(run.settings.epochs)[:points], run.problem.names
    if not all(map(math.isfinite, (gap, *raw))):
        diverged_at = diverged_at or run.settings.epochs
    usable = bool(epochs) and not diverged_at
    outcome = _outcome(run, points, diverged_at, gap)
    return Result(
        run=run,
        trained=dict(zip(names, trained, strict=True)) if usable else {},
        raw=dict(zip(names, raw, strict=True)) if usable else {},
        epochs=epochs,
        losses=losses[:points],
        loss_gap=gap if usable else None,
        diverged_at=diverged_at or None,
        outcome=outcome,
        reason=reason(run, outcome),
    )


def _outcome(run: Run, points: int, diverged_at: int, gap: float) -> Outcome:
    if diverged_at:
        return "diverged"
    if points < len(curve_schedule(run.settings.epochs)):
        return "killed"
    return "converged" if gap < run.problem.converged_below else "stopped"
