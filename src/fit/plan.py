"""Settings and pairs -> calibrations: groups the runs that can share tensors, trains, measures.

Knows torch and the rooms around the loop; nothing of Hydra, MLflow or files. A run's numbers do not
depend on the company it trains in.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeVar

import torch
from torch import Tensor

from .. import normalization
from ..config import ConfigError, DataSettings, NormalizationSettings, Settings
from ..data import Pairs
from ..loop import LossCurves, training_loop
from ..models import MODELS, Model, parameter_names
from .yardstick import CONVERGED_GAP, Optimum, least_squares, loss_gap, stability_limit

T = TypeVar("T")
Outcome = Literal["converged", "stopped", "diverged", "killed"]
OnRecord = Callable[[int, LossCurves], object]  # told of each epoch at which losses were recorded

# R * N of one call of the loop: 2**24 float64 values are 128 MiB, and the loop holds a few such tensors
MOST_ELEMENTS = 2**24
# R * N up to which one thread is as fast as several. Beside other busy processes several are far slower:
# each of an epoch's dozen small operations then waits for the slowest thread.
MOST_ELEMENTS_OF_ONE_THREAD = 2**20


@dataclass(frozen=True)
class Calibration:
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
    reason: str | None

    @property
    def lr_over_limit(self) -> float:
        """The learning rate over the largest stable one."""
        return self.run.settings.lr / self.run.input.limit

    @property
    def objective(self) -> float:
        """The final loss, infinity for a run that diverged: what a sweeper minimizes."""
        return math.inf if self.outcome == "diverged" or not self.losses else self.losses[-1]


@cache
def curve_schedule(epochs: int) -> tuple[int, ...]:
    """The epochs at which a run's loss is recorded: about 100, ascending.

    The first twenty, where a run diverges or drops fast, then eighty evenly to the last: every tenth
    of the epochs is among them, so 5000 epochs hold the chapter's 500, 1000, ....

    >>> [e for e in curve_schedule(5000) if e % 500 == 0][:3], len(curve_schedule(5000))
    ([500, 1000, 1500], 100)
    """
    even = {-(-epochs * part // 80) for part in range(1, 81)}
    return tuple(sorted(set(range(1, min(epochs, 20) + 1)) | even))


def tenths(epochs: int) -> set[int]:
    """The epochs that a single run prints: every tenth part, so 5000 give 500, 1000, ...."""
    return {-(-epochs * part // 10) for part in range(1, 11)}


def check_device(device: str) -> None:
    """Raises ConfigError where this machine has no such device."""
    available = ["cpu", *(f"cuda:{card}" for card in range(torch.cuda.device_count()))]
    if device not in available and not (device == "cuda" and len(available) > 1):
        raise ConfigError(f"device={device} is not here: give one of {', '.join(available)}")


@dataclass(frozen=True)
class Problem:
    """What all runs of one model on one set of pairs share, in one dtype on one device."""

    pairs: Pairs
    model: Model
    t_u: Tensor  # (N,) float64
    t_c: Tensor  # (N,) float64
    optimum: Optimum
    converged_below: float  # the loss_gap under which a run has converged

    @property
    def names(self) -> tuple[str, ...]:
        """The K parameters' names."""
        return parameter_names(self.model)


@dataclass(frozen=True)
class Input:
    """A problem's input under one normalization; `t_un` (N,) in the runs' dtype."""

    fitted: normalization.Affine
    limit: float
    t_un: Tensor


@dataclass(frozen=True)
class Run:
    """A run that is ready to train: nothing can be wrong with it any more."""

    settings: Settings
    problem: Problem
    input: Input


class Bench:
    """Prepares runs; what several share is read and computed once, and refused once."""

    def __init__(self, load: Callable[[DataSettings, int, float], Pairs]) -> None:
        """`load` reads pairs, as `data.load` does."""
        self._load = load
        self._problem = _remembering(self._make_problem)
        self._input = _remembering(self._make_input)

    def prepare(self, settings: Settings) -> Run:
        """Raises ConfigError for data, a normalization or a device that will not do."""
        key = (settings.data, settings.model.name, settings.dtype, settings.device)
        problem = self._problem(*key)
        run = Run(settings, problem, self._input(key, settings.normalization))
        range_ = torch.finfo(getattr(torch, settings.dtype))
        if not (range_.tiny <= settings.lr <= range_.max and settings.lr / run.input.limit < math.inf):
            raise ConfigError(
                f"lr={settings.lr:g} is out of the range of {settings.dtype}: "
                f"give one near the limit of this input, {run.input.limit:.2g}"
            )
        return run

    def _make_problem(self, data: DataSettings, model_name: str, dtype: str, device: str) -> Problem:
        check_device(device)
        model = MODELS[model_name]
        largest = torch.finfo(getattr(torch, dtype)).max
        pairs = self._load(data, len(parameter_names(model)), largest)
        t_u, t_c = torch.from_numpy(pairs.t_u), torch.from_numpy(pairs.t_c)
        try:
            optimum = least_squares(model, t_u, t_c)
        except ValueError:
            optimum = None
        if optimum is None or not (optimum.params.isfinite().all() and math.isfinite(optimum.loss)):
            raise ConfigError(
                f"{data.path}: {data.input} from {t_u.min():g} to {t_u.max():g} and {data.target} from "
                f"{t_c.min():g} to {t_c.max():g} are out of the range of arithmetic: rescale them"
            )
        below = CONVERGED_GAP * float(t_c.var(correction=0))
        return Problem(pairs, model, t_u, t_c, optimum, converged_below=below)

    def _make_input(self, key: tuple[DataSettings, str, str, str], choice: NormalizationSettings) -> Input:
        problem = self._problem(*key)
        options = () if choice.factor is None else (choice.factor,)
        try:
            fitted = normalization.NORMALIZATIONS[choice.name](problem.t_u, *options)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        limit = stability_limit(problem.model, fitted.apply(problem.t_u, torch.float64))
        t_un = fitted.apply(problem.t_u, getattr(torch, key[2]))
        fold = fitted.fold_matrix(len(problem.names))
        if not (0 < limit < math.inf and t_un.isfinite().all() and fold.isfinite().all()):
            raise ConfigError(
                f"normalization={choice.name} with shift {fitted.shift:g} and scale {fitted.scale:g} "
                f"takes {key[0].input} out of the range of {key[2]}: choose another"
            )
        return Input(fitted, limit, t_un)


def _remembering(function: Callable[..., T]) -> Callable[..., T]:
    """Like functools.cache, but a refusal is remembered too: a missing file is looked for once."""
    results: dict[tuple[Hashable, ...], T | ConfigError] = {}

    def remembered(*key: Hashable) -> T:
        if key not in results:
            try:
                results[key] = function(*key)
            except ConfigError as error:
                results[key] = error
        result = results[key]
        if isinstance(result, ConfigError):
            raise result
        return result

    return remembered


def calibrate(
    runs: Sequence[Run],
    on_record: OnRecord = lambda epoch, curves: None,
    stop: Callable[[], bool] = lambda: False,
) -> list[Calibration]:
    """Train all runs, in the order given; `stop` ends the work early and leaves the rest `killed`."""
    groups: dict[int, list[int]] = defaultdict(list)  # the runs that can share tensors
    for index, run in enumerate(runs):
        groups[id(run.problem)].append(index)
    done: dict[int, Calibration] = {}
    for group in groups.values():
        width = max(1, MOST_ELEMENTS // len(runs[group[0]].problem.t_u))
        for start in range(0, len(group), width):
            part = group[start : start + width]
            together = _train_together([runs[index] for index in part], on_record, stop)
            done.update(zip(part, together, strict=True))
    return [done[index] for index in range(len(runs))]


def _train_together(
    runs: list[Run],
    on_record: OnRecord,
    stop: Callable[[], bool],
) -> list[Calibration]:
    """One call of the loop: R runs of one problem, on one input or each on its own."""
    problem, first = runs[0].problem, runs[0].input
    settings = [run.settings for run in runs]
    starts = [[run.model.start[name] for name in problem.names] for run in settings]
    is_shared = all(run.input is first for run in runs)
    curves = LossCurves([curve_schedule(run.epochs) for run in settings], on_record)
    with _threads_for(len(runs) * len(problem.t_u)):
        trained = training_loop(
            n_epochs=torch.tensor([run.epochs for run in settings]),
            learning_rate=torch.tensor([run.lr for run in settings], dtype=torch.float64),
            params=torch.tensor(starts, dtype=first.t_un.dtype, device=settings[0].device),
            t_u=first.t_un if is_shared else torch.stack([run.input.t_un for run in runs]),
            t_c=problem.t_c,
            model=problem.model,
            curves=curves,
            stop=stop,
        )
    return list(_measure(runs, trained, curves))


@contextmanager
def _threads_for(elements: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1 if elements <= MOST_ELEMENTS_OF_ONE_THREAD else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _measure(runs: list[Run], trained: Tensor, curves: LossCurves) -> Iterator[Calibration]:
    problem = runs[0].problem
    # An interrupted run's parameters are those whose loss is its curve's last, not a few epochs further on.
    scheduled = torch.tensor([len(curve_schedule(run.settings.epochs)) for run in runs])
    complete = (curves.points == scheduled.to(curves.points.device))[:, None]
    trained = torch.where(complete, trained, curves.measured)
    folds = {run.input.fitted: run.input.fitted.fold_matrix(len(problem.names)) for run in runs}
    fold = torch.stack([folds[run.input.fitted] for run in runs])  # (R, K, K)
    raw = _folded(fold, trained)
    gaps = loss_gap(problem.model, _folded(fold, curves.measured), problem.optimum, problem.t_u)
    columns = (trained, raw, gaps, curves.points, curves.diverged_at, curves.losses)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for run, row in zip(runs, rows, strict=True):
        params, raw_params, gap, points, diverged_at, losses = row
        epochs = curve_schedule(run.settings.epochs)[:points]
        finite = all(map(math.isfinite, (gap, *raw_params)))
        diverged_at = diverged_at or (run.settings.epochs if not finite else 0)
        usable = bool(epochs) and not diverged_at
        outcome = _outcome(run, points, diverged_at, gap)
        yield Calibration(
            run=run,
            trained=dict(zip(problem.names, params, strict=True)) if usable else {},
            raw=dict(zip(problem.names, raw_params, strict=True)) if usable else {},
            epochs=epochs,
            losses=losses[:points],
            loss_gap=gap if usable else None,
            diverged_at=diverged_at or None,
            outcome=outcome,
            reason=_reason(run, outcome),
        )


def _folded(fold: Tensor, params: Tensor) -> Tensor:
    """(R, K, K) and trained (R, K) -> raw (R, K) float64."""
    return (fold @ params.to("cpu", torch.float64)[:, :, None])[:, :, 0]


def _outcome(run: Run, points: int, diverged_at: int, gap: float) -> Outcome:
    if diverged_at:
        return "diverged"
    if points < len(curve_schedule(run.settings.epochs)):
        return "killed"
    return "converged" if gap < run.problem.converged_below else "stopped"


def _reason(run: Run, outcome: Outcome) -> str | None:
    """Why a run diverged, or would have with more epochs, and what to try; None where all is well."""
    settings, limit = run.settings, run.input.limit
    ratio = settings.lr / limit
    if ratio > 1 and outcome in ("diverged", "stopped"):
        zscore = normalization.zscore(run.problem.t_u).apply(run.problem.t_u, torch.float64)
        helps = settings.lr < stability_limit(run.problem.model, zscore)
        times = f"{_times(ratio)} times the limit {limit:.{2 if ratio > 1.1 else 5}g}"
        return (
            f"lr {settings.lr:g} is {times} of this input: "
            f"use a smaller lr{' or normalization=zscore' if helps else ''}"
        )
    if outcome == "diverged":
        wider = " or dtype=float64" if settings.dtype == "float32" else ""
        return (
            f"the loss left the range of {settings.dtype}, though lr {settings.lr:g} is under the "
            f"limit {limit:.2g}: try a nearer model.start{wider}"
        )
    return None


def _times(ratio: float) -> str:
    """At least two digits, more of what is nearly 1, and no power of ten: 1.0004, 1.2, 29, 1234."""
    if ratio < 1.1:
        return f"{ratio:.5g}"
    return f"{ratio:.2g}" if not 99 < ratio < 1e6 else f"{ratio:.0f}"
