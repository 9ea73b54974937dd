"""What came of a run: its parameters, its curve, how far it is from the best fit, and its outcome."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..loop import LossCurves
from .advice import Reason, outlook, reason
from .caution import cautions
from .criterion import ENOUGH
from .plan import Input, Run
from .schedule import tenths
from .uncertainty import Uncertainty

# A gap is a difference of losses: below this part of the best fit's it is rounding. What lies lower says that
# the search for the best fit did not settle.
NOISE = 1e-9
GROWN = 10  # times the first loss: a final one beyond that is not on its way to a fit

Outcome = Literal["converged", "stopped", "diverged", "killed"]


@dataclass(frozen=True)
class Result:
    """What came of one run.

    `trained` and `raw` map the parameters' names to their final values, as trained and, where the model has
    them, in raw input units; `final_loss` and `loss_gap` are theirs, in float64. Of a run that diverged there
    are none, and no gap where no best fit is known, nor a `training_error` where nothing tells how well the
    data settle it. `epochs` and `losses` are the points of the loss curve,
    measured before each epoch's update, all finite; `validation` are the losses there on the observations
    held out, where there are any and all are finite, and `final_validation` that of the final parameters;
    `path` holds the parameters there, as trained, of a run that belongs to no sweep. `diverged_at` is the
    first epoch that was not finite.
    `outcome` is `killed` for a run that was interrupted; `reason` says why a run did not settle and what to
    try; `outlook` what one that stopped under the limit needs. `caution` is what is to be known before the
    calibration is used.
    """

    run: Run
    trained: dict[str, float]
    raw: dict[str, float]
    epochs: Sequence[int]
    losses: Sequence[float]
    validation: Sequence[float]
    path: dict[str, list[float]]
    final_validation: float | None
    final_loss: float | None
    loss_gap: float | None
    training_error: float | None
    diverged_at: int | None
    outcome: Outcome
    reason: Reason | None
    outlook: str
    caution: str

    @property
    def objective(self) -> float:
        """The final loss, infinity for a run that has none: what a sweeper minimizes."""
        return math.inf if self.final_loss is None else self.final_loss

    @property
    def uncertainty(self) -> Uncertainty | None:
        """How well the data settle what the run has found; None unless it is trained enough to say so."""
        is_trained = self.training_error is not None and self.training_error <= ENOUGH
        return self.run.input.uncertainty if is_trained else None


def measure(runs: list[Run], trained: Tensor, curves: LossCurves) -> Iterator[Result]:
    """The results of R runs, from their final parameters (R, K) and their curves."""
    # An interrupted run's parameters are those whose loss is its curve's last, not a few epochs further on.
    scheduled = torch.tensor([len(run.schedule) for run in runs])
    complete = (curves.points == scheduled.to(curves.points.device))[:, None]
    trained = torch.where(complete, trained, curves.measured)
    raw = torch.empty(trained.shape, dtype=torch.float64)
    losses, gaps, errors = torch.empty(3, len(runs), dtype=torch.float64)
    before = torch.empty(len(runs), 2, dtype=torch.float64)
    validation = torch.full((len(runs), curves.path.shape[1] + 1), math.nan, dtype=torch.float64)
    earlier = _earlier(runs, curves)
    is_close = torch.empty(len(runs), dtype=torch.bool)
    for found, members in _families(runs):
        yardstick = found.yardstick
        params = yardstick.as_params(trained[members])
        raw[members] = yardstick.in_raw_units(trained[members])
        losses[members], gaps[members] = yardstick.losses(params), yardstick.gaps(params)
        started = yardstick.as_params(earlier[members].flatten(end_dim=1))
        before[members] = yardstick.losses(started).reshape(-1, 2)
        # what wanders by rounding alone does not grow
        before[members] += torch.where(yardstick.within_rounding(params, trained.dtype), math.inf, 0)[:, None]
        errors[members] = found.uncertainty.training_errors(params)
        is_contrary = errors[members] > found.uncertainty.convincing  # where the model is not linear
        is_close[members] = yardstick.converged(params, trained.dtype) & ~is_contrary
        if held_out := runs[members[0]].problem.held_out:
            path = torch.cat([curves.path[members], trained[members, None]], dim=1)
            validation[members] = held_out.losses(yardstick, path)
    measured = (losses, before, gaps, errors, is_close)
    columns = (trained, raw, *measured, curves.points, curves.diverged_at, curves.losses, validation)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for run, path, row in zip(runs, curves.path, rows, strict=True):
        result = _result(run, *row)
        yield result if run.settings.origin.sweep else replace(result, path=_named(run, path, result.epochs))


def _earlier(runs: list[Run], curves: LossCurves) -> Tensor:
    """The parameters (R, 2, K) from which a run's loss may have grown: its first, and a tenth of it ago."""
    places = [[0, run.schedule.index(sorted(tenths(run.settings.epochs))[-2:][0])] for run in runs]
    return curves.path[torch.arange(len(runs))[:, None], torch.tensor(places)]


def _named(run: Run, path: Tensor, epochs: Sequence[int]) -> dict[str, list[float]]:
    """(P, K), of which the points at these epochs are meant -> by the parameters' names."""
    return dict(zip(run.problem.names, path[: len(epochs)].T.tolist(), strict=True))


def _families(runs: list[Run]) -> Iterator[tuple[Input, list[int]]]:
    """Each best fit with the places of the runs that are measured against it."""
    places: dict[int, list[int]] = defaultdict(list)
    for place, run in enumerate(runs):
        places[id(run.input)].append(place)
    return ((runs[members[0]].input, members) for members in places.values())


def _result(
    run: Run,
    trained: list[float],
    raw: list[float],
    final_loss: float,
    before: list[float],
    gap: float,
    error: float,
    is_close: bool,
    points: int,
    diverged_at: int,
    losses: list[float],
    validation: list[float],
) -> Result:
    epochs, names = run.schedule[:points], run.problem.names
    yardstick = run.input.yardstick
    if not diverged_at and not all(map(math.isfinite, (*trained, final_loss))):
        diverged_at = run.settings.epochs
    is_measured = bool(epochs) and yardstick.fit.settled and gap >= -NOISE * abs(yardstick.fit.loss)
    outcome = _outcome(run, points, diverged_at, is_measured and is_close, _grows(run, before, final_loss))
    usable = bool(epochs) and outcome != "diverged"
    reached = [*validation[:points], *validation[-1:] * usable]
    is_validated = run.problem.held_out is not None and all(map(math.isfinite, reached))
    return Result(
        run=run,
        trained=dict(zip(names, trained, strict=True)) if usable else {},
        raw=dict(zip(names, raw, strict=True)) if usable and all(map(math.isfinite, raw)) else {},
        epochs=epochs,
        losses=losses[:points],
        validation=validation[:points] if is_validated else (),
        path={},
        final_validation=validation[-1] if usable and is_validated else None,
        final_loss=final_loss if usable else None,
        loss_gap=max(gap, 0.0) if usable and is_measured else None,
        training_error=error if usable and is_measured and math.isfinite(error) else None,
        diverged_at=diverged_at or None,
        outcome=outcome,
        reason=reason(run, outcome, diverged_at, bool(epochs)),
        outlook=outlook(run, gap) if outcome == "stopped" and is_measured else "",
        caution="; ".join(cautions(run, is_measured and error <= ENOUGH)) if usable else "",
    )


def _outcome(run: Run, points: int, diverged_at: int, is_close: bool, grows: bool) -> Outcome:
    if diverged_at:
        return "diverged"
    if points < len(run.schedule):
        return "killed"
    if is_close:
        return "converged"
    return "diverged" if grows else "stopped"


def _grows(run: Run, before: list[float], final_loss: float) -> bool:
    """Whether a finite loss is on its way out, from the first and from that a tenth of the epochs ago.

    Beyond the limit one direction's share of the loss grows from epoch to epoch, however small at first. All
    three are float64: to float32 a difference of 1 is nothing beside targets of 1e9, and the first loss 0.
    """
    first, tenth_ago = before
    return final_loss > GROWN * abs(first) or (run.lr_over_limit > 1 and final_loss > tenth_ago)
