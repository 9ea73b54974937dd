"""What training would come to, by the yardsticks alone: nothing is trained."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..loop import LossCurves, training_loop
from .least_squares import design_matrix
from .plan import Run
from .rates import epochs_enough, limit_in_digits
from .result import GROWN, Outcome
from .schedule import tenths
from .training import given, parts

MOST_ADDED = 0.005  # of a gap's square root, which rounding may add: the gap is told to a hundredth
TIMED_S = 0.5  # how long steps are timed, all in all


@dataclass(frozen=True)
class Forecast:
    """What is expected of a run with these `params`.

    `outcome` is None where nothing is known of it. `enough`: the epochs that it needs to converge, infinity
    where no number will do, NaN where that is not known. `is_exact`: by the loss as it is, in exact
    arithmetic, else by its curvature at the best fit. `gap`: the loss_gap that it ends with, NaN where that
    is not known to a hundredth, as where rounding adds to it. `diverged_at`: the first epoch whose loss is
    not finite, None for none. `seconds`: of training, its share of those that it trains together with.
    """

    params: dict[str, str]
    outcome: Outcome | None
    enough: float
    is_exact: bool
    gap: float
    diverged_at: int | None
    limit: str
    seconds: float


def forecast(runs: Sequence[Run]) -> list[Forecast]:
    """Of runs that are ready, in their order."""
    seconds = [0.0] * len(runs)
    together = list(parts(runs))
    for part in together:
        share = _seconds([runs[place] for place in part], TIMED_S / len(together)) / len(part)
        for place in part:
            seconds[place] = share
    descents: dict[tuple[int, tuple[float, ...]], _Descent] = {}
    return [_forecast(run, descents, each) for run, each in zip(runs, seconds, strict=True)]


def _forecast(run: Run, known: dict[tuple[int, tuple[float, ...]], _Descent], seconds: float) -> Forecast:
    found = run.input.yardstick
    limit = limit_in_digits(run.limit, run.settings.lr) if run.limit > 0 else ""
    recorded = run.spelling.params(run.input.fitted)
    if not found.fit.settled or not run.limit > 0:
        return Forecast(recorded, None, math.nan, False, math.nan, None, limit, seconds)
    if not found.is_quadratic:
        outcome, enough = _by_curvature(run)
        return Forecast(recorded, outcome, enough, False, math.nan, None, limit, seconds)
    key = (id(run.input), tuple(run.settings.model.start_in_order))
    if key not in known:
        known[key] = _Descent.of(run)
    descent, lr, epochs = known[key], run.settings.lr, run.settings.epochs
    dtype, gap = run.input.t_un.dtype, descent.gap(lr, epochs)
    overflows_at = descent.overflows_at(lr, torch.finfo(dtype).max)
    enough = descent.enough(lr, found.gap_to_reach(dtype, lr))
    outcome = _quadratic_outcome(run, descent, enough, overflows_at)
    is_told = outcome != "diverged" and math.sqrt(found.rounding(dtype, lr)) < MOST_ADDED * math.sqrt(gap)
    diverged_at = int(overflows_at) if overflows_at <= epochs else None
    return Forecast(
        recorded, outcome, enough, True, gap if is_told else math.nan, diverged_at, limit, seconds
    )


def _quadratic_outcome(run: Run, descent: _Descent, enough: float, overflows_at: float) -> Outcome:
    """As `result` says it of a run that was trained."""
    lr, epochs = run.settings.lr, run.settings.epochs
    if overflows_at <= epochs:
        return "diverged"
    if enough <= epochs:
        return "converged"
    first, before, last = (descent.loss(lr, each) for each in (0, sorted(tenths(epochs))[-2:][0] - 1, epochs))
    grows = last > GROWN * first or (run.lr_over_limit > 1 and last > before)
    return "diverged" if grows else "stopped"


def _by_curvature(run: Run) -> tuple[Outcome | None, float]:
    """Where the loss is not quadratic, its curvature at the best fit stands for that on the way there."""
    found, settings = run.input.yardstick, run.settings
    if run.lr_over_limit > 1:
        return None, math.inf
    dtype = run.input.t_un.dtype
    start = torch.tensor(settings.model.start_in_order, dtype=torch.float64)
    gap = float(found.gaps(found.as_params(start[None]))[0])
    enough = epochs_enough(found.curvature, settings.lr, gap, found.gap_to_reach(dtype, settings.lr))
    return ("converged" if enough <= settings.epochs else "stopped"), enough


@dataclass(frozen=True)
class _Descent:
    """A quadratic loss from a start: `shares` (K,) of the gap there along the axes of its curvature (K,).

    A step multiplies the error along an axis by `1 - lr * curvature`. Source: Goh, "Why Momentum Really
    Works", Distill (2017), the first section.
    """

    n: int
    best_loss: float
    curvature: list[float]
    shares: list[float]

    @classmethod
    def of(cls, run: Run) -> _Descent:
        """The descent of a run, whatever its learning rate and epochs are."""
        found = run.input.yardstick
        start = torch.tensor(run.settings.model.start_in_order, dtype=torch.float64)
        design = design_matrix(found.weights.weighed(found.model), found.t_un) * found.scales
        _, widths, axes = torch.linalg.svd(design, full_matrices=False)
        along = widths * (axes @ ((start - found.trained_params) / found.scales))
        n = len(found.t_c)
        return cls(n, found.fit.loss, (2 / n * widths**2).tolist(), (along**2 / n).tolist())

    def gap(self, lr: float, epochs: float) -> float:
        """The loss above the best fit's after so many epochs; infinity beyond the range of arithmetic."""
        try:
            return math.fsum(
                share * (1 - lr * curvature) ** (2 * epochs)
                for share, curvature in zip(self.shares, self.curvature, strict=True)
            )
        except OverflowError:
            return math.inf

    def loss(self, lr: float, epochs: float) -> float:
        """The loss after so many epochs."""
        return self.best_loss + self.gap(lr, epochs)

    def enough(self, lr: float, gap: float) -> float:
        """The fewest epochs after which the gap is at most this; infinity for never."""
        slowest = max(abs(1 - lr * each) for each in self.curvature)
        if self.gap(lr, 0) <= gap:
            return 0
        if slowest >= 1 or not gap > 0:
            return math.inf
        return _first(lambda epochs: self.gap(lr, epochs) <= gap)

    def overflows_at(self, lr: float, largest: float) -> float:
        """The first epoch whose sum of squares, measured before its update, is beyond this; or infinity."""
        steepest = max(abs(1 - lr * each) for each in self.curvature)
        if steepest <= 1:
            return math.inf
        return 1 + _first(lambda epochs: self.n * self.loss(lr, epochs) > largest)


def _first(holds: Callable[[int], bool]) -> int:
    """The least whole number from which on it holds."""
    high = 1
    while not holds(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high if low or not holds(0) else 0


def _seconds(runs: list[Run], budget: float) -> float:
    """What the loop takes for runs that train together, from some steps that are timed and forgotten.

    From above: runs that end earlier make the rest cheaper.
    """
    starts = [run.settings.model.start_in_order for run in runs]
    times = [time.perf_counter()]

    def is_enough() -> bool:
        times.append(time.perf_counter())
        return times[-1] - times[0] > budget

    longest = max(run.settings.epochs for run in runs)
    training_loop(
        n_epochs=longest,
        params=torch.tensor(starts, dtype=runs[0].input.t_un.dtype, device=runs[0].settings.device),
        curves=LossCurves([[] for _ in runs]),
        stop=is_enough,
        **given(runs),
    )
    steps = times[2 + len(times) // 5 :]  # the first are slower
    return longest * (steps[-1] - steps[0]) / (len(steps) - 1) if len(steps) > 1 else times[-1] - times[0]
