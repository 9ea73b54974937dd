"""The final loss gap over the learning rate, and where training cannot be stable."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, NullFormatter

from ...fit.rates import limit_in_digits
from ...tracking.record import TrackedRun
from ..comparison import Comparison
from ..loss_unit import loss_unit
from ._canvas import DARK, LARGEST, Floats, canvas, count, quantity, short
from ._named import described, leaders, unlike
from ._rows import ALONE, WIDEST, Row, rows_of

ROOM = 0.02  # of the frame on each side: half a star
WITH_VALUE = 0.085  # a cell as wide, in fractions of the frame, holds its value
APART = 0.03  # crosses in a row stand as far apart, in fractions of the frame
DYNAMIC = 1e14  # colours tell gaps apart over so wide a range: smaller ones look alike
VIRIDIS = colormaps["viridis"]
TALL = 0.9  # of a row, which is 1
STAR = 0.32  # of a row above its middle, where a cell's value is written
NOTHING, HATCH = "0.86", (0.2, 0.2, 0.2, 0.4)
LUMINANCE = np.array([0.299, 0.587, 0.114])


def draw(comparison: Comparison) -> Figure | None:
    """The map of all runs."""
    return loss_gap_map(comparison.runs, loss_unit(comparison)) if comparison.runs else None


def loss_gap_map(runs: Sequence[TrackedRun], unit: str = "") -> Figure:
    """The best final `loss_gap` at each learning rate, a row for each combination of the other settings.

    `runs` are ranked, best first, and the best has a star; `unit` is the losses'. Where that is too many
    rows, those are joined that differ only in epochs, start and the like; of what is still too many the best
    are shown, and the caption says so.
    """
    runs = [run for run in runs if "lr" in run.params]
    keys, rows, joined, left_out = rows_of(runs)
    caption = _caption(runs, joined, left_out)
    figure = canvas("Final loss gap by learning rate", caption, height=2.9 + 0.42 * len(rows))
    if not rows:
        return figure
    axes = figure.subplots()
    left, right = _frame(rows)
    axes.set(xscale="log", xlim=(left, right), ylim=(len(rows) - 0.5, -0.5), xlabel="lr, the learning rate")
    axes.set_yticks(range(len(rows)), [short(described(row.run, keys), 60) for row in rows])
    axes.tick_params(axis="y", length=0)
    notation = _notation([left, *(row.limit for row in rows if not math.isnan(row.limit))])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda lr, _: notation(lr)))
    axes.xaxis.set_minor_formatter(NullFormatter() if right / left > 10 else axes.xaxis.get_major_formatter())
    norm = _norm(rows)
    for place, row in enumerate(rows):
        _draw_cells(axes, row, place, norm)
        _draw_limit(axes, row, place, notation)
    axes.text(1.01, 1.0, "largest\nstable lr", transform=axes.transAxes, va="bottom", fontsize=9)
    handles = _legend(axes, rows, leaders(runs), unit)
    beside_title = 4 if len(handles) <= 4 and len(leaders(runs)) < 2 else 3
    figure.legend(handles=handles, loc="outside upper right", ncols=beside_title, frameon=False, fontsize=9)
    if norm and len({gap for row in rows for gap in row.gaps[~np.isnan(row.gaps)]}) > 1:
        colours = ScalarMappable(norm, VIRIDIS)
        label, slender = quantity("loss_gap", unit), 6 + 3 * len(rows)
        figure.colorbar(colours, ax=axes, label=label, extend=_beyond(rows, norm), aspect=slender)
    return figure


def _legend(axes: Axes, rows: Sequence[Row], best: Sequence[TrackedRun], unit: str) -> list[Artist]:
    """Handles; each model's best run gets its star here."""
    look: dict[str, Any] = {"linestyle": "", "color": DARK}
    handles: list[Artist] = [
        Line2D([], [], color="black", linewidth=2.5, label="largest stable lr"),
        Patch(fill=False, hatch="///", edgecolor=HATCH, label="beyond it"),
    ]
    if any(np.isnan(row.gaps).any() for row in rows):
        handles.append(Line2D([], [], marker="x", label="diverged, or no result", **look))
    best = [run for run in best if "loss_gap" in run.metrics]
    star: dict[str, Any] = {"marker": "*", "markersize": 12, "mfc": "white", "mec": "black"}
    for run in best:
        of = f" {short(run.params['model'])}" if len(best) > 1 else ""
        label = f"best{of}: {_shown(run.metrics['loss_gap'])} {short(unit)}".rstrip()
        for place, row in enumerate(rows):
            if row.run is run:
                [cell] = np.flatnonzero(row.lrs == float(run.params["lr"]))
                axes.plot(row.middles[cell], place - TALL * STAR, zorder=5, **star)
                handles.append(Line2D([], [], linestyle="", label=label, **star))
    return handles


def _caption(runs: Sequence[TrackedRun], joined: bool, left_out: int) -> str:
    parts = [
        f"{count(len(runs))}. loss_gap: how far a run's final loss is above the least that its model can "
        "reach on these data; the lower, the better.",
        *unlike(runs),
    ]
    if joined:
        parts.append("A cell is the best of all runs that share its row and learning rate.")
    if left_out:
        parts.append(f"{count(left_out, 'more row')} further down the ranking not shown.")
    parts.append(
        "Beyond the largest stable learning rate, 2 over the largest curvature of the loss at the best fit, "
        "no training settles there."
    )
    return " ".join(parts)


def _frame(rows: Sequence[Row]) -> tuple[float, float]:
    """From the first to the last cell, and on to limits that are near; half the width at least is cells.

    Where one learning rate was tried, a decade around it.
    """
    ends = [edge for row in rows for edge in (row.edges[0, 0], row.edges[-1, 1])]
    left, right = min(ends), max(ends)
    is_one = right / left < ALONE**2 * (1 + 1e-9)
    reach = WIDEST if is_one else min((right / left) ** 0.4, 10)
    near = [row.limit for row in rows if left / reach < row.limit < right * reach]
    if is_one:
        near += [left / WIDEST, right * WIDEST]
    left = min([left, *(limit / 1.1 for limit in near)])
    right = max([right, *(limit * 1.1 for limit in near)])
    room = (right / left) ** ROOM
    return left / room, right * room


def _norm(rows: Sequence[Row]) -> LogNorm | None:
    """The range of the colours: that of the stable runs' gaps, since an unstable one's may be any."""
    gaps = np.concatenate([np.empty(0), *(row.gaps for row in rows)])
    stable = np.concatenate([np.empty(0), *(row.gaps[~(row.lrs > row.limit)] for row in rows)])
    if np.isnan(gaps).all():
        return None
    high = min(float(max(stable[stable > 0], default=max(gaps[gaps > 0], default=1.0))), LARGEST)
    low = max(float(min(gaps[gaps > 0], default=0.0)), high / DYNAMIC)
    return LogNorm(low, high) if low < high else LogNorm(low / WIDEST, high * WIDEST)


def _beyond(rows: Sequence[Row], norm: LogNorm) -> str:
    """Which ends of the colour bar have gaps beyond them."""
    gaps = np.concatenate([row.gaps for row in rows])
    ends = bool((gaps < norm.vmin).any()), bool((gaps > norm.vmax).any())
    return {(True, True): "both", (True, False): "min", (False, True): "max"}.get(ends, "neither")


def _draw_cells(axes: Axes, row: Row, place: int, norm: LogNorm | None) -> None:
    """Each in the colour of its gap and, where it is wide enough, with the gap written in it."""
    is_lost = np.isnan(row.gaps)
    shades = np.full((len(row.lrs), 4), to_rgba(NOTHING))
    if norm:
        shades[~is_lost] = VIRIDIS(norm(np.clip(row.gaps[~is_lost], norm.vmin, norm.vmax)))
    mesh = np.zeros((1, 2 * len(shades) - 1, 4))
    mesh[0, ::2] = shades  # between two cells one that cannot be seen, most often without any width
    axes.pcolormesh(row.edges.ravel(), (place - TALL / 2, place + TALL / 2), mesh)
    wide = np.diff(_across(axes, row.edges))[:, 0] > WITH_VALUE
    text: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9}
    for cell in np.flatnonzero(wide & ~is_lost):
        text["color"] = "black" if shades[cell, :3] @ LUMINANCE > 0.45 else "white"
        box = {"facecolor": shades[cell], "linewidth": 0, "pad": 1}  # keeps the hatching off
        axes.text(row.middles[cell], place, _shown(row.gaps[cell]), bbox=box, **text)
    crosses = _thinned(_across(axes, row.lrs[is_lost]))
    axes.plot(row.lrs[is_lost][crosses], [place] * len(crosses), "x", color=DARK, markersize=6)


def _shown(gap: float) -> str:
    """Two digits: 1750, 26, 0.012, 1.1e-06."""
    return f"{gap:.0f}" if 99.5 <= gap < 1e4 else f"{gap:.2g}"


def _across(axes: Axes, lrs: Floats) -> Floats:
    """Learning rates' places in fractions of the frame."""
    left, right = axes.get_xlim()
    return np.asarray(np.log(lrs / left) / math.log(right / left))


def _thinned(places: Floats) -> list[int]:
    """The indices of ascending places that are far enough from each other."""
    kept: list[int] = []
    for index, place in enumerate(places):
        if not kept or place - places[kept[-1]] > APART:
            kept.append(index)
    return kept


def _notation(numbers: Sequence[float]) -> Callable[[float], str]:
    """How to write all limits and learning rates: as 0.000339, or where some have too many zeros as 8.73e-08.

    Rounded down, so that a limit that is read off is stable.
    """
    if min(numbers) > 1e-5 and max(numbers) < 1e5:
        return lambda lr: np.format_float_positional(float(limit_in_digits(lr)), trim="-")
    return lambda lr: re.sub(r"\.?0*e", "e", f"{float(limit_in_digits(lr)):.2e}")


def _draw_limit(axes: Axes, row: Row, place: int, notation: Callable[[float], str]) -> None:
    """A line at the limit and hatching beyond it; its value stands beside the row."""
    if math.isnan(row.limit):
        return
    left, right = axes.get_xlim()
    start = max(row.limit, left)
    if start < right:
        size = (right - start, TALL)
        corner = (start, place - TALL / 2)
        axes.add_patch(Rectangle(corner, *size, fill=False, hatch="///", linewidth=0, edgecolor=HATCH))
    axes.plot([row.limit] * 2, [place - 0.5, place + 0.5], color="black", linewidth=2.5)
    axes.text(1.01, place, notation(row.limit), transform=axes.get_yaxis_transform(), va="center", fontsize=9)
