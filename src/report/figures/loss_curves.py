"""Loss by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from ...tracking.record import TrackedRun
from ..comparison import Comparison, Curve
from ..differences import distinguishing
from ..loss_unit import loss_unit
from ._canvas import (
    DARK,
    DIVERGED,
    GREY,
    LARGEST,
    Floats,
    canvas,
    count,
    draw_badges,
    draw_bands,
    draw_legend,
    quantity,
)
from ._named import MOST_NAMED, Named, is_usable, named, names, sample, unlike
from ._optima import Optimum, draw_optima, optima_of

MOST_CURVES = 300  # more would not be seen, and take long to read from a server
GRID = 200  # points of a band's edge
HELD_OUT: dict[str, Any] = {"color": DARK, "linestyle": (0, (7, 2, 1, 2)), "linewidth": 1.6, "zorder": 3}
VALIDATION = "data_validation"  # the param of a run that has such
NOTHING: Mapping[str, Curve] = MappingProxyType({})
ABOVE = 3  # times the largest loss the axis goes on
FIRST = 0.92  # where epochs begin: just before the first, and after the tick at 0.9
RANK_WIDTH = 0.03  # what a rank above the frame takes of its width

Losses = Sequence[float]
Path = tuple[Floats, Floats]


def draw(comparison: Comparison) -> Figure | None:
    """The curves of all runs, or of some evenly spaced in the ranking; None where losses are below 0."""
    runs = comparison.runs
    if not runs:
        return None
    curves = comparison.curves(sample(runs, MOST_CURVES))
    if any(min(losses, default=0) < 0 for _, losses in curves.values()):
        return None
    held_out = comparison.curves(runs[:1], "validation_loss") if VALIDATION in runs[0].params else {}
    return loss_curves(runs, curves, loss_unit(comparison), held_out)


def loss_curves(
    runs: Sequence[TrackedRun],
    curves: Mapping[str, Curve],
    unit: str = "",
    held_out: Mapping[str, Curve] = NOTHING,
) -> Figure:
    """Loss by epoch, both logarithmic. `runs` are ranked, best first; `unit` is the losses'.

    `curves` maps run ids to epochs and losses, of all runs or of a `sample` of them; `held_out` that of the
    best run to its losses on the observations held out. The range is that of the usable runs: those that
    diverged, to losses of 1e38, leave through the top.
    """
    drawn = [run for run in runs if run.run_id in curves and curves[run.run_id][0]]
    usable = [curves[run.run_id][1] for run in drawn if is_usable(run)]
    optima = optima_of(runs)
    low, high = _range(usable, [curves[run.run_id][1] for run in drawn], optima)
    last = max((curves[run.run_id][0][-1] for run in drawn), default=1)
    last = max(last, 2)  # an axis of one epoch would have no whole number but that
    paths = {run.run_id: _path(curves[run.run_id], low) for run in drawn}

    figure = canvas("Loss curves", _caption(runs, len(drawn), bool(usable)))
    axes = figure.subplots()
    axes.set(xscale="log", yscale="log", xlim=(FIRST, last * 1.1), ylim=(low, high))
    axes.set(xlabel="epoch", ylabel=quantity("loss", unit))
    axes.xaxis.set_major_formatter(LogFormatter())
    axes.xaxis.set_minor_formatter(LogFormatter())
    axes.grid(color="0.92")
    shown = named(runs)
    handles = _draw_usable(axes, runs, paths, shown) + _draw_diverged(axes, runs, paths, high)
    for curve in held_out.values():
        handles += axes.plot(*_path(curve, low), label="best run, on observations held out", **HELD_OUT)
    handles += draw_optima(axes, optima, shown)
    draw_legend(figure, handles)
    return figure


def _caption(runs: Sequence[TrackedRun], drawn: int, has_usable: bool) -> str:
    parts = [f"The loss before each epoch's update, of {count(len(runs))}.", *unlike(runs)]
    if drawn < len(runs) > MOST_NAMED:
        parts.append(f"Drawn are {drawn:,}, evenly spaced in the ranking.")
    if lost := sum(run.outcome == "diverged" for run in runs):
        leaving = ": ▲ is where one leaves through the top, or starts above it" if has_usable else ""
        parts.append(f"{lost:,} diverged{leaving}.")
    if len(runs) > MOST_NAMED and len({run.params.get("epochs") for run in runs}) > 1:
        parts.append("At each epoch a band is of the runs that have not ended by then.")
    return " ".join(parts)


def _range(
    usable: Sequence[Losses], drawn: Sequence[Losses], optima: Sequence[Optimum]
) -> tuple[float, float]:
    """From the least positive loss to some times the largest: room to leave through.

    Of usable runs, so that the others flatten nothing: what starts above them leaves at once. Where no run
    is usable, of all.
    """
    of = usable or drawn
    high = max((max(losses) for losses in of), default=1.0)
    low = min((loss for losses in of for loss in losses if loss > 0), default=high)
    low = 0.7 * min([low, *(optimum.loss for optimum in optima)])
    return (low, min(ABOVE * high, LARGEST)) if low > 0 else (0.1, 10.0)


def _path(curve: Curve, low: float) -> Path:
    """Epochs and losses; a loss of zero, which a logarithmic axis has no place for, lies at the bottom."""
    epochs, losses = (np.asarray(values, dtype=float) for values in curve)
    return epochs, np.maximum(losses, low)


def _draw_usable(
    axes: Axes, runs: Sequence[TrackedRun], paths: Mapping[str, Path], shown: Sequence[Named]
) -> list[Artist]:
    """Lines for the runs that are named, over bands for the others: handles for a legend."""
    handles: list[Artist] = []
    badges = []
    for each in shown:
        if each.run.run_id not in paths:
            continue
        x, y = paths[each.run.run_id]
        handles += axes.plot(x, y, label=each.label, marker="o" if len(x) == 1 else "", **each.look)
        badges.append((x, y, each.badge, each.colour))
    draw_badges(axes, badges)
    rest = [paths[run.run_id] for run in runs if run.run_id in paths and is_usable(run)]
    if rest and len(runs) > MOST_NAMED:
        grid = np.linspace(0, max(np.log(x[-1]) for x, _ in rest), GRID)
        rows = [np.interp(grid, np.log(x), np.log(y), right=np.nan) for x, y in rest]
        handles += draw_bands(axes, np.exp(grid), np.exp(rows))
    return handles


def _draw_diverged(
    axes: Axes, runs: Sequence[TrackedRun], paths: Mapping[str, Path], high: float
) -> list[Artist]:
    """Lines, of many runs one, and an arrow where each leaves through the top: handles for a legend."""
    lost = {str(rank): run for rank, run in enumerate(runs, start=1) if run.outcome == "diverged"}
    drawn = {rank: run for rank, run in lost.items() if run.run_id in paths}
    exits = {
        rank: _exit(*paths[run.run_id], high)
        for rank, run in drawn.items()
        if paths[run.run_id][1].max() > high
    }
    if len(runs) > MOST_NAMED:
        _draw_exits(axes, {"": list(exits.values())})
        lines = {
            f"diverged: {count(len(lost))}, one drawn": run
            for run in [*drawn.values()][len(drawn) // 2 :][:1]
        }
    else:
        _draw_exits(axes, _side_by_side(axes, exits))
        inside = [rank for rank in drawn if rank not in exits]
        draw_badges(axes, [(*paths[drawn[rank].run_id], rank, GREY) for rank in inside])
        labels = names(list(drawn.values()), distinguishing(runs))
        lines = {
            f"{rank}  {label}, diverged": run
            for (rank, run), label in zip(drawn.items(), labels, strict=True)
        }
    return [axes.plot(*paths[run.run_id], label=label, **DIVERGED)[0] for label, run in lines.items()]


def _exit(epochs: Floats, losses: Floats, high: float) -> float:
    """The epoch at which a curve crosses the top."""
    beyond = int(np.argmax(losses > high))
    around = slice(max(beyond - 1, 0), beyond + 1)
    return float(np.exp(np.interp(np.log(high), np.log(losses[around]), np.log(epochs[around]))))


def _side_by_side(axes: Axes, exits: Mapping[str, float]) -> dict[str, list[float]]:
    """Epochs by rank -> epochs by what stands above them: the ranks, joined where they would overlap."""
    low, high = axes.get_xlim()
    groups: list[dict[str, float]] = []
    for rank, epoch in sorted(exits.items(), key=lambda item: item[1]):
        first = min(groups[-1].values()) if groups else 0.0
        if groups and np.log(epoch / first) < RANK_WIDTH * (len(groups[-1]) + 1) * np.log(high / low):
            groups[-1][rank] = epoch
        else:
            groups.append({rank: epoch})
    return {", ".join(sorted(group, key=int)): list(group.values()) for group in groups}


def _draw_exits(axes: Axes, exits: Mapping[str, list[float]]) -> None:
    """Arrows at the top at these epochs, under a text."""
    top: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "color": DARK, "clip_on": False}
    for text, epochs in exits.items():
        if epochs:  # an empty line would spoil the layout
            axes.plot(epochs, [1.0] * len(epochs), "^", markersize=6, **top)
            side = "left" if "," in text else "center"  # a list of ranks goes on to the right
            axes.text(min(epochs), 1.025, text, fontsize=8, ha=side, **top)
