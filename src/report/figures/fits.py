"""The data, the fitted curves over it, and what they leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...data import Pairs
from ...functions import resolve
from ...models import MODELS, Model
from ...spelling import best_is
from ...tracking.record import TrackedRun
from ..comparison import Comparison
from ._canvas import (
    COLOURS,
    OPTIMUM,
    Floats,
    canvas,
    count,
    draw_badges,
    draw_bands,
    draw_legend,
    quantity,
    short,
)
from ._named import MOST_NAMED, is_usable, named

GRID = 200  # points of a curve
MOST_IN_BANDS = 2000  # more, evenly spaced in the ranking, look the same
MOST_DRAWN = 4000  # pairs: more, evenly spaced over the input, look the same
MARGIN = 0.1  # of the data's range, on each side
NARROW = 1e-6  # a range that is smaller than this part of its values is none


@dataclass(frozen=True)
class Problem:
    """What the runs have in common, their pairs and their model, and a best fit that is on record."""

    pairs: Pairs
    model: Model
    best: TrackedRun | None  # a run whose best fit is known

    def predict(self, run: TrackedRun, t_u: Floats, kind: Literal["", "best_"] = "") -> Floats:
        """A run's predictions, or its best fit's, over raw inputs (N,) -> (N,)."""
        found = run.best_fit() if kind else run.calibration()
        assert found
        params, about = found
        t_seen = about.apply(torch.from_numpy(t_u), torch.float64)
        return np.asarray(
            self.model(t_seen, *torch.tensor(list(params.values()), dtype=torch.float64)).expand(len(t_u))
        )

    def exact(self, t_u: Floats) -> Floats | None:
        """The best fit's predictions (N,)."""
        return self.predict(self.best, t_u, "best_") if self.best else None


def draw(comparison: Comparison) -> Figure | None:
    """The fits of the runs on the first one's data by its model; None where these data are gone."""
    if not comparison.pairs:
        return None
    return fits(comparison.alike, comparison.pairs)


def fits(runs: Sequence[TrackedRun], pairs: Pairs) -> Figure:
    """The pairs with the runs' curves over them, and below what the best and the optimum leave.

    `runs` are on these pairs and of one model, ranked, best first. The range is that of the data: a bad fit
    leaves it.
    """
    usable = [run for run in runs if is_usable(run)]
    best = next((run for run in (*usable, *runs) if run.best_fit()), None)
    problem = Problem(pairs, resolve(runs[0].params["model"], MODELS), best)
    settings = pairs.settings
    figure = canvas("Fits over the data", _caption(len(runs), len(usable), problem), height=6.5)
    above, below = figure.subplots(2, sharex=True, height_ratios=(2.6, 1))
    above.set_ylabel(quantity(settings.target, settings.target_unit))
    below.set_ylabel(quantity("residual", settings.target_unit))
    below.set_xlabel(quantity(settings.input, settings.input_unit))
    handles = _draw_curves(above, runs, problem) + _draw_residuals(below, usable, problem)
    draw_legend(figure, handles)
    return figure


def _caption(number: int, usable: int, problem: Problem) -> str:
    parts = [f"{count(len(problem.pairs.t_u), 'pair')}; {count(usable, 'fit')} of {count(number)}."]
    if usable < number:
        parts.append(f"{number - usable:,} diverged or ended without a result.")
    if usable:
        known = f" and of the {best_is(problem.best.params)}" if problem.best else ""
        parts.append(f"Below: truth minus fit, of the best run{known}.")
    return " ".join(parts)


def _draw_curves(axes: Axes, runs: Sequence[TrackedRun], problem: Problem) -> list[Artist]:
    """Handles for a legend."""
    t_u, t_c = problem.pairs.t_u, problem.pairs.t_c
    left, right = _widened(t_u)
    x = np.linspace(left, right, GRID)
    exact = problem.exact(x)
    low, high = _widened(t_c if exact is None else np.concatenate([t_c, exact]))
    axes.set(xlim=(left, right), ylim=(low, high))
    axes.grid(color="0.92")
    handles: list[Artist] = list(
        axes.plot(*drawn(t_u, t_c), "o", color="black", markersize=5, label="data", zorder=4)
    )
    if problem.best and exact is not None:
        handles += axes.plot(x, exact, label=best_is(problem.best.params), zorder=3, **OPTIMUM)
    badges = []
    for each in named(runs, {run.run_id for run in runs}):
        y = problem.predict(each.run, x)
        outside = " (outside)" if y.min() >= high or y.max() <= low else ""
        handles += axes.plot(x, y, label=each.label + outside, **each.look)
        badges.append((x, y, each.badge, each.colour))
    draw_badges(axes, badges, np.column_stack(drawn(t_u, t_c)))
    usable = [run for run in runs if is_usable(run)]
    if len(runs) > MOST_NAMED and usable:
        some = usable[:: -(-len(usable) // MOST_IN_BANDS)]
        handles += draw_bands(axes, x, np.stack([problem.predict(run, x) for run in some]))
    return handles


def _draw_residuals(axes: Axes, usable: Sequence[TrackedRun], problem: Problem) -> list[Artist]:
    """Handles for a legend."""
    t_u, t_c = problem.pairs.t_u, problem.pairs.t_c
    unit = short(problem.pairs.settings.target_unit)
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.grid(color="0.92")
    rows: list[tuple[str, Floats, dict[str, Any]]] = []
    if (exact := problem.exact(t_u)) is not None:
        rows.append(("optimum", t_c - exact, {"marker": "D", "mfc": "none", "mec": "black", "markersize": 8}))
    if usable:
        best = t_c - problem.predict(usable[0], t_u)
        rows.append(("best run", best, {"marker": "o", "color": COLOURS[0], "markersize": 4.5}))
    largest = max((np.abs(row).max() for _, row, _ in rows), default=0.0)
    _, top = _widened(np.array([0.0, min(largest, np.ptp(t_c) or largest)]))  # what is worse is no fit
    axes.set_ylim(-top, top)
    handles: list[Artist] = []
    for name, row, look in rows:
        label = f"residuals of the {name}, RMS {_rms(row)} {unit}".rstrip()
        handles += axes.plot(*drawn(t_u, row), linestyle="", label=label, **look)
    return handles


def drawn(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Of points (N,) those that are drawn: all, or some of each part of the range and both extremes."""
    if len(x) <= MOST_DRAWN:
        return x, y
    by_x = np.argsort(x, kind="stable")
    some = by_x[np.linspace(0, len(x) - 1, MOST_DRAWN - 2).astype(int)]
    chosen = np.union1d(some, [y.argmin(), y.argmax()])
    return x[chosen], y[chosen]


def _rms(residuals: Floats) -> str:
    return f"{np.sqrt((residuals**2).mean()):.4g}"


def _widened(values: Floats) -> tuple[float, float]:
    """The range of values with a margin."""
    low, high = float(values.min()), float(values.max())
    margin = max(MARGIN * (high - low), NARROW * max(abs(low), abs(high))) or 1.0
    return low - margin, high + margin
