"""The one order of runs: tables, pages, words and figures, `best`, registration and prediction go by it.

1. Runs on one data set stand together: what was trained on other readings does not compare.
2. Runs with a result come first, then what was interrupted, what diverged (the smallest rate first, which was
   nearest to the limit) and what crashed.
3. Losses of different loss functions do not compare either: runs under each stand together, first those under
   one by which a run has converged, then in the order of the list, squares first.
4. Runs that are trained enough to speak of their best fit come first, the model that the data call for before
   the others, see `model_choice`; of one model by its best fit, for a function that is no polynomial has
   another under each normalization. The rest go by the loss that they have reached.
5. Converged runs on one best fit are ties, for what tells their gaps apart is far below what the data can
   tell: the cheapest comes first, by fewest epochs, then by the smaller rate, then by name. What is trained
   enough, but has not converged, follows by its gap.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from ..config import ConfigError
from ..losses import LOSSES
from ..spelling import DATA, FIRST_LOSS, best_is, natural
from .model_choice import Choice, is_trained
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
    if by not in (None, "loss_gap") and not any(by in run.metrics or by in run.params for run in runs):
        known = dict.fromkeys(key for run in runs for key in (*run.metrics, *run.params))
        raise ConfigError(f"--sort {by}: no run has that; give one of {', '.join(known)}")
    return [run for part in data_sets(runs) for run in _sorted(best_first(part), by, descending)]


def best_first(runs: Iterable[TrackedRun]) -> list[TrackedRun]:
    """Runs on one data set, ranked."""
    runs = list(runs)
    trained = [run for run in runs if is_trained(run)]
    by_loss: dict[LossFunction, list[TrackedRun]] = defaultdict(list)
    for run in runs:
        by_loss[_loss_function(run)].append(run)
    settled = {_loss_function(run) for run in trained}
    places = {loss: Choice.of(by_loss[loss]).places for loss in settled}
    levels = _levels(trained)
    return sorted(runs, key=lambda run: _key(run, places, levels))


def choice_of(runs: Iterable[TrackedRun]) -> Choice | None:
    """What the data call for under the loss of the best of runs on one data set; None where there is none."""
    runs = list(runs)
    if len({run.loss_function for run in runs}) > 1:
        first = best_first(runs)[0]
        runs = [run for run in runs if run.loss_function == first.loss_function]
    return Choice.of(runs) if runs else None


def data_sets(runs: Iterable[TrackedRun]) -> list[list[TrackedRun]]:
    """The runs on each data set, in the order given: by the name of the file, of one file the newest first.

    What a data set is, its readings say and not its name: `data_digest`.
    """
    found: dict[str, list[TrackedRun]] = defaultdict(list)
    for run in runs:
        found[run.data_digest].append(run)
    if len(found) < 2:
        return list(found.values())
    newest_first = sorted(found.values(), key=newest, reverse=True)
    return sorted(newest_first, key=_name)


def newest(runs: Sequence[TrackedRun]) -> int:
    """When the last of the runs began, in Unix milliseconds."""
    return max(run.start_ms for run in runs)


def best(runs: Sequence[TrackedRun]) -> TrackedRun | None:
    """The first that has a calibration, of runs in their order."""
    return next((run for run in runs if run.outcome in USABLE), None)


def several_losses(runs: Sequence[TrackedRun]) -> list[str]:
    """The loss functions of runs on one data set, where they are several; first that of the best."""
    if len({run.loss_function for run in runs}) < 2:
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
    there = [run for run in runs if value(run, by) is not None]
    there.sort(key=lambda run: value(run, by) or (0.0, ""), reverse=descending)
    return there + [run for run in runs if value(run, by) is None]


def value(run: TrackedRun, by: str) -> tuple[float, str] | None:
    """A metric or param as a number, or else the text of one that is none; None where there is nothing."""
    found = run.loss if by == "loss" else run.metrics.get(by, run.params.get(by))
    if found is None or (by == "loss" and run.outcome == "diverged"):
        return None
    return natural(str(found))


def _key(
    run: TrackedRun, places: Mapping[LossFunction, Mapping[str, int]], levels: Mapping[str, float]
) -> Key:
    """What a run goes by among those on its data set; `places`: of the losses under which one is trained."""
    place = OUTCOMES.index(run.outcome) if run.outcome in OUTCOMES else len(OUTCOMES)
    cost: Key = (natural(run.params.get("epochs", "")), lr(run), run.name, run.run_id)
    loss = _loss_function(run)
    gap = run.metrics.get("loss_gap", math.inf)
    if is_trained(run):
        nearness = (False, 0.0) if run.outcome == "converged" else (True, gap)
        return (
            0,
            False,
            loss,
            places[loss].get(run.params.get("model", ""), 0),
            levels[_fit(run)],
            *nearness,
            *cost,
        )
    if run.outcome in ("stopped", "killed"):
        return place - 1, loss not in places, loss, math.inf, _reached(run), False, gap, *cost
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
    name, *options = run.loss_function
    return _place(name), name, *options


@cache
def _place(loss: str) -> int:
    shipped = list(LOSSES)
    return shipped.index(loss) if loss in shipped else len(shipped)


def _name(runs: Iterable[TrackedRun]) -> list[tuple[float, str]]:
    """What the data of these runs are called: the path and the columns; of several names the first."""
    called = {tuple(run.params.get(key, "") for key in DATA) for run in runs}
    return min([natural(each) for each in name] for name in called)
