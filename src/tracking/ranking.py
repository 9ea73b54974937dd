"""The one order of runs: tables, pages, words and figures, `best`, registration and prediction go by it.

1. Runs on one data set stand together: what was trained on other readings does not compare.
2. Runs with a result come first, then what was interrupted, what diverged (the smallest rate first, which was
   nearest to the limit) and what crashed.
3. Losses of different loss functions do not compare either: runs under each stand together, first those under
   one by which a run has converged, then in the order of the list, squares first.
4. The rest is one number, the loss that a run has reached; a run that is trained enough (`converged`) counts
   as its best fit. So of two models the one with the better best fit comes first, but a poor fit by it is no
   better than it is; and of runs on one best fit the order is that of their `loss_gap`. The same holds for a
   function that is no polynomial, which has another best fit under each normalization.
5. Converged runs on one best fit are ties, for what tells their gaps apart is far below what the data can
   tell: the cheapest comes first, by fewest epochs, then by the smaller rate, then by name.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import cache

from ..config import ConfigError
from ..losses import LOSSES
from ..spelling import DATA, FIRST_LOSS, best_is, natural
from .record import TrackedRun

OUTCOMES = ("converged", "stopped", "killed", "diverged", "crashed")
USABLE = OUTCOMES[:2]
SAME = 1e-9  # relative: best fits whose losses differ by less differ by rounding

Key = tuple[object, ...]
LossFunction = tuple[int, str, *tuple[str, ...]]


def ranked(runs: Iterable[TrackedRun], by: str | None = None, descending: bool = False) -> list[TrackedRun]:
    """Best first; or, within each data set, by a metric or param, equals best first, those without it last.

    Raises ConfigError for a key that no run has.
    """
    runs = list(runs)
    known = dict.fromkeys(key for run in runs for key in (*run.metrics, *run.params))
    if by is not None and by not in {**known, "loss_gap": None}:
        raise ConfigError(f"--sort {by}: no run has that; give one of {', '.join(known)}")
    return [run for part in data_sets(runs) for run in _sorted(best_first(part), by, descending)]


def best_first(runs: Iterable[TrackedRun]) -> list[TrackedRun]:
    """Runs on one data set, ranked."""
    runs = list(runs)
    converged = [run for run in runs if run.outcome == "converged"]
    levels, settled = _levels(converged), {_loss_function(run) for run in converged}
    return sorted(runs, key=lambda run: _key(run, levels, settled))


def data_sets(runs: Iterable[TrackedRun]) -> list[list[TrackedRun]]:
    """The runs on each data set, in the order given: by the name of the file, of one file the newest first.

    What a data set is, its readings say and not its name: `data_digest`.
    """
    found: dict[str, list[TrackedRun]] = defaultdict(list)
    for run in runs:
        found[run.data_digest].append(run)
    newest_first = sorted(found.values(), key=newest, reverse=True)
    return sorted(newest_first, key=lambda part: min(map(_name, part)))


def newest(runs: Sequence[TrackedRun]) -> int:
    """When the last of the runs began, in Unix milliseconds."""
    return max(run.start_ms for run in runs)


def best(runs: Sequence[TrackedRun]) -> TrackedRun | None:
    """The first that has a calibration, of runs in their order."""
    return next((run for run in runs if run.outcome in USABLE), None)


def has_one_best_fit(runs: Iterable[TrackedRun]) -> bool:
    """Whether all runs whose best fit is known have the same, so that their gaps compare."""
    return len(set(_levels(run for run in runs if "loss_gap" in run.metrics).values())) < 2


def several_losses(runs: Sequence[TrackedRun]) -> list[str]:
    """The loss functions of runs on one data set, where they are several; first that of the best."""
    if len(set(map(_loss_function, runs))) < 2:
        return []
    found = dict.fromkeys(map(_loss_function, best_first(runs)))
    return [" ".join((name, *options)) for _, name, *options in found]


def lr(run: TrackedRun) -> float:
    """A run's learning rate; infinity for another program's run without one."""
    return natural(run.params.get("lr", ""))[0]


def _sorted(runs: list[TrackedRun], by: str | None, descending: bool) -> list[TrackedRun]:
    """Runs that stand best first, by a key."""
    if by is None:
        return runs
    there = [run for run in runs if _value(run, by) is not None]
    there.sort(key=lambda run: _value(run, by) or (0.0, ""), reverse=descending)
    return there + [run for run in runs if _value(run, by) is None]


def _value(run: TrackedRun, by: str) -> tuple[float, str] | None:
    """A metric or param as a number, or else the text of one that is none; None where there is nothing."""
    value = run.metrics.get(by, run.params.get(by))
    value = run.loss if by == "loss" else value
    if value is None or (by == "loss" and run.outcome == "diverged"):
        return None
    return natural(str(value))


def _key(run: TrackedRun, levels: Mapping[str, float], settled: Set[LossFunction]) -> Key:
    """What a run goes by among those on its data set; under the losses in `settled` a run has converged."""
    place = OUTCOMES.index(run.outcome) if run.outcome in OUTCOMES else len(OUTCOMES)
    cost: Key = (natural(run.params.get("epochs", "")), lr(run), run.name, run.run_id)
    loss = _loss_function(run)
    if run.outcome == "converged":
        return 0, False, loss, levels[_fit(run)], 0.0, *cost
    if run.outcome in ("stopped", "killed"):
        reached = _reached(run), run.metrics.get("loss_gap", math.inf)
        return place - 1, loss not in settled, loss, *reached, *cost
    return place, lr(run), *cost


def _levels(runs: Iterable[TrackedRun]) -> dict[str, float]:
    """Each best fit's loss; of those that are the same but for rounding, the least."""
    found: dict[str, float] = {}
    for run in runs:
        found[_fit(run)] = min(found.get(_fit(run), math.inf), _best_loss(run))
    level = -math.inf
    for fit, loss in sorted(found.items(), key=lambda each: each[1]):
        level = level if loss - level < SAME * abs(loss) else loss
        found[fit] = level
    return found


def _fit(run: TrackedRun) -> str:
    """What a run's best fit is known by: an exact optimum is the same under every normalization."""
    model, loss = run.params.get("model", ""), run.params.get("loss", FIRST_LOSS)
    return model if _is_exact(model, loss) else run.run_id


@cache
def _is_exact(model: str, loss: str) -> bool:
    return best_is({"model": model, "loss": loss}) == "exact optimum"


def _best_loss(run: TrackedRun) -> float:
    """The loss of a run's best fit; of a run from before that was on record, its own."""
    return run.metrics.get("best_loss", math.inf if run.loss is None else run.loss)


def _reached(run: TrackedRun) -> float:
    """The loss that a run has reached, in all digits where its best fit is known."""
    if {"best_loss", "loss_gap"} <= run.metrics.keys():
        return run.metrics["best_loss"] + run.metrics["loss_gap"]
    return math.inf if run.loss is None else run.loss


def _loss_function(run: TrackedRun) -> LossFunction:
    """A run's loss function and its options, in the order of the losses."""
    name, shipped = run.params.get("loss", FIRST_LOSS), list(LOSSES)
    options = (f"{key}={value}" for key, value in run.params.items() if key.startswith("loss_"))
    return shipped.index(name) if name in shipped else len(shipped), name, *options


def _name(run: TrackedRun) -> list[tuple[float, str]]:
    """What a run's data are called: the path and the columns."""
    return [natural(run.params.get(key, "")) for key in DATA]
