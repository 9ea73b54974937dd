"""The losses of the best fits, as lines across a figure: what no run of a model can go below."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from ...spelling import PROBLEM, best_is
from ...tracking.record import TrackedRun
from ._canvas import DARK, OPTIMUM, short
from ._named import MOST_MODELS, Named

SAME = 1e-9  # relative: best fits that differ by less differ by rounding


@dataclass(frozen=True)
class Optimum:
    """A model's, with the first of its runs."""

    run: TrackedRun
    loss: float


def optima_of(runs: Sequence[TrackedRun]) -> list[Optimum]:
    """Of each model whose runs have one best fit, the best run's model first; of several problems none."""
    others = [key for key in PROBLEM if key != "model"]
    if len({tuple(map(run.params.get, others)) for run in runs}) > 1:
        return []
    models: dict[str, list[TrackedRun]] = defaultdict(list)
    for run in runs:
        models[run.params.get("model", "")].append(run)
    found = [Optimum(mine[0], _loss(mine)) for mine in models.values()]
    return [optimum for optimum in found[:MOST_MODELS] if optimum.loss > 0]


def _loss(runs: Sequence[TrackedRun]) -> float:
    """The best fit's, where all runs have the same and it is not lost in rounding; else 0."""
    known = [(run.metrics["loss_gap"], run.loss) for run in runs if run.loss and "loss_gap" in run.metrics]
    if not known:
        return 0
    best = {run.metrics["best_loss"] for run in runs if "best_loss" in run.metrics}
    gap, loss = min(known)
    is_one = not best or max(best) - min(best) <= SAME * max(best)
    return loss - gap if is_one and loss - gap > 1e-3 * loss else 0


def draw_optima(axes: Axes, optima: Sequence[Optimum], shown: Sequence[Named]) -> list[Artist]:
    """One in black; several in the colours of their models' best runs: handles for a legend."""
    colours = {each.run.params["model"]: each.colour for each in shown if each.is_leader}
    handles: list[Artist] = []
    for optimum in optima:
        model, look, of = optimum.run.params.get("model", ""), OPTIMUM, ""
        if len(optima) > 1:
            look, of = OPTIMUM | {"color": colours.get(model, DARK)}, f" of {short(model)}"
        label = f"{best_is(optimum.run.params)}{of}, {optimum.loss:.3g}"
        handles.append(axes.axhline(optimum.loss, label=label, **look))
    return handles
