"""The data, the fitted curves over it, and what they leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...data import Pairs
from ...spelling import best_is
from ...tracking.record import TrackedRun
from ..comparison import Comparison
from ._canvas import (
    DARK,
    OPTIMUM,
    OPTIMUM_POINT,
    Floats,
    canvas,
    count,
    draw_badges,
    draw_bands,
    draw_legend,
    quantity,
    short,
)
from ._fitted import Fitted, predict
from ._named import MOST_NAMED, Named, named

GRID = 200  # points of a curve
MOST_IN_BANDS = 500  # more, evenly spaced in the ranking, look the same
MOST_DRAWN = 4000  # pairs: more, evenly spaced over the input, look the same
ROOM = 0.15  # of the residuals' range, on each side: half a marker is a tenth of so low a frame
MARGIN = 0.1  # of the data's range, on each side
INTERVAL_IS = "95 % interval of the curve, in its colour"
INTERVAL: dict[str, Any] = {"alpha": 0.2, "linewidth": 0}
MARKERS = "osv^P*"  # one for each model
NARROW = 1e-6  # a range that is smaller than this part of its values is none


def draw(comparison: Comparison) -> Figure | None:
    """The fits of all runs on the first one's data; None where these data are gone."""
    return fits(comparison.runs, comparison.pairs) if comparison.pairs else None


def fits(runs: Sequence[TrackedRun], pairs: Pairs) -> Figure:
    """The pairs with the runs' curves over them, and below what the best of each model leaves.

    `runs` are on these pairs and ranked, best first. The best of each model has the band that its curve is
    within, where that is on record. The range is that of the data: a bad fit leaves it.
    """
    fitted, settings = Fitted(pairs, runs), pairs.settings
    figure = canvas("Fits over the data", _caption(fitted), height=6.5)
    above, below = figure.subplots(2, sharex=True, height_ratios=(2.6, 1))
    above.set_ylabel(quantity(settings.target, settings.target_unit))
    below.set_ylabel(quantity("residual", settings.target_unit))
    below.set_xlabel(quantity(settings.input, settings.input_unit))
    shown = [each for each in named(runs) if fitted.is_there(each.run)]
    handles = _draw_curves(above, fitted, shown) + _draw_residuals(below, fitted, shown)
    draw_legend(figure, handles)
    return figure


def _caption(fitted: Fitted) -> str:
    number, usable = len(fitted.runs), len(fitted.usable)
    parts = [f"{count(len(fitted.pairs.t_u), 'observation')}, {count(number)}."]
    if usable < number:
        parts.append(f"{number - usable:,} diverged or ended without a result, and have no fit.")
    if usable:
        known = f" and of the {best_is(fitted.optimum.params)}" if fitted.optimum else ""
        of = "the best run of each model" if len(fitted.leaders) > 1 else "the best run"
        parts.append(f"Below: the residuals, truth minus fit, of {of}{known}; RMS is their root mean square.")
    return " ".join(parts)


def _draw_curves(axes: Axes, fitted: Fitted, shown: Sequence[Named]) -> list[Artist]:
    """Handles for a legend."""
    t_u, t_c = fitted.pairs.t_u, fitted.pairs.t_c
    left, right = _widened(t_u)
    x = np.linspace(left, right, GRID)
    exact = [predict(run, x, "best_") for run in fitted.optima]
    low, high = _widened(np.concatenate([t_c, *exact, *_ends(fitted, x)]))
    axes.set(xlim=(left, right), ylim=(low, high))
    axes.grid(color="0.92")
    handles: list[Artist] = list(
        axes.plot(*drawn(t_u, t_c), "o", color="black", markersize=5, label="data", zorder=4)
    )
    if fitted.optimum:
        handles += axes.plot(x, exact[0], label=best_is(fitted.optimum.params), zorder=3, **OPTIMUM)
    badges = []
    for each in shown:
        y = predict(each.run, x)
        outside = " (outside)" if y.min() >= high or y.max() <= low else ""
        handles += axes.plot(x, y, label=each.label + outside, **each.look)
        badges.append((x, y, each.badge, each.colour))
    draw_badges(axes, badges, np.column_stack(drawn(t_u, t_c)))
    handles += _draw_intervals(axes, fitted, shown, x)
    if len(fitted.runs) > MOST_NAMED and fitted.usable:
        some = fitted.usable[:: -(-len(fitted.usable) // MOST_IN_BANDS)]
        handles += draw_bands(axes, x, np.stack([predict(run, x) for run in some]))
    return handles


def _ends(fitted: Fitted, x: Floats) -> Iterator[Floats]:
    """Of the intervals over x, those that take no more room than the data."""
    for run in fitted.leaders.values():
        if (reach := fitted.reach(run, x)) is not None and reach.max() < np.ptp(fitted.pairs.t_c):
            yield from (predict(run, x) - reach, predict(run, x) + reach)


def _draw_intervals(axes: Axes, fitted: Fitted, shown: Sequence[Named], x: Floats) -> list[Artist]:
    """Of the best run of each model, over x (points,); a handle for a legend, if there are any."""
    colours, handles = _colours(shown), list[Artist]()
    for run in fitted.leaders.values():
        if (reach := fitted.reach(run, x)) is not None:
            y = predict(run, x)
            axes.fill_between(x, y - reach, y + reach, color=colours[run.run_id], **INTERVAL)
            handles = handles or [Patch(color=colours[run.run_id], label=INTERVAL_IS, **INTERVAL)]
    return handles


def _colours(shown: Sequence[Named]) -> dict[str, str]:
    return {each.run.run_id: each.colour for each in shown}


def _draw_residuals(axes: Axes, fitted: Fitted, shown: Sequence[Named]) -> list[Artist]:
    """Handles for a legend."""
    t_u, t_c = fitted.pairs.t_u, fitted.pairs.t_c
    unit = short(fitted.pairs.settings.target_unit)
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.grid(color="0.92")
    rows: list[tuple[str, Floats, dict[str, Any]]] = []
    if fitted.optimum:
        exact = predict(fitted.optimum, t_u, "best_")
        rows.append(("the optimum", t_c - exact, OPTIMUM_POINT))
    colours = _colours(shown)
    for (model, run), marker in zip(fitted.leaders.items(), MARKERS, strict=False):
        name = short(model) if len(fitted.leaders) > 1 else "the best run"
        look: dict[str, Any] = {"marker": marker, "color": colours[run.run_id], "markersize": 4.5}
        rows.append((name, t_c - predict(run, t_u), look))
    low, high = _residual_range([row for _, row, _ in rows], float(np.ptp(t_c)))
    axes.set_ylim(low, high)
    handles: list[Artist] = []
    for name, row, look in rows:
        label = f"residuals of {name}, RMS {_rms(row)} {unit}".rstrip()
        handles += axes.plot(*drawn(t_u, row), linestyle="", label=label, **look)
        beyond = {"v": (0.0, row < low), "^": (1.0, row > high)}
        for marker, (edge, which) in beyond.items():
            _draw_beyond(axes, t_u[which], edge, marker, str(look.get("color", "black")))
    if any(((row < low) | (row > high)).any() for _, row, _ in rows):
        look = {"marker": "^", "color": DARK, "markersize": 6}
        handles.append(Line2D([], [], linestyle="", label="residuals beyond the frame", **look))
    return handles


def _draw_beyond(axes: Axes, t_u: Floats, edge: float, marker: str, colour: str) -> None:
    """Arrows at the frame's edge, at the readings whose residuals are beyond it."""
    if len(t_u):  # an empty line would spoil the layout
        x, y = drawn(t_u, np.full(len(t_u), edge))
        look: dict[str, Any] = {"color": colour, "markersize": 6, "clip_on": False, "zorder": 4}
        axes.plot(x, y, marker, transform=axes.get_xaxis_transform(), **look)


def _residual_range(rows: Sequence[Floats], most: float) -> tuple[float, float]:
    """With room for whole markers, but no further than `most`, the data's range: a worse fit is none."""
    values = np.concatenate([np.zeros(1), *rows])
    low, high = float(values.min()), float(values.max())
    if most:
        low, high = max(low, -most), min(high, most)
    margin = ROOM * (high - low) or 1.0
    return low - margin, high + margin


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
    """The range of values with a margin; beside the data a model may have none, as a power below 0."""
    there = values[np.isfinite(values)]
    low, high = float(there.min()), float(there.max())
    margin = max(MARGIN * (high - low), NARROW * max(abs(low), abs(high))) or 1.0
    return low - margin, high + margin
