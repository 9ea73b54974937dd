"""The final loss gap over the learning rate, and where training cannot be stable."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
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

from ...fit.rates import limit_in_digits
from ...spelling import PROBLEM, SCALE, natural
from ...tracking import ranking
from ...tracking.record import TrackedRun
from ..comparison import Comparison
from ..differences import distinguishing
from ._canvas import DARK, LARGEST, Floats, canvas, count, quantity, short, squared
from ._named import described

MOST_ROWS = 24
COLLAPSED = (*PROBLEM, "normalization", SCALE)  # what rows stand for where there are too many
WIDEST = math.sqrt(10)  # a cell reaches so far to each side, as a factor, where no neighbour is nearer
WITH_VALUE = 0.085  # a cell as wide, in fractions of the frame, holds its value
APART = 0.03  # crosses in a row stand as far apart, in fractions of the frame
DYNAMIC = 1e14  # colours tell gaps apart over so wide a range: smaller ones look alike
VIRIDIS = colormaps["viridis"]
TALL = 0.9  # of a row, which is 1
NOTHING, HATCH = "0.86", (0.2, 0.2, 0.2, 0.4)
LUMINANCE = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class _Row:
    """The runs of one combination of settings: ascending learning rates, the best gap at each, NaN for none.

    `limit` is the largest stable learning rate, NaN where no run got so far as to record it.
    """

    run: TrackedRun  # the best of them
    lrs: Floats
    gaps: Floats
    limit: float

    @property
    def edges(self) -> Floats:
        """(cells, 2): to the geometric middle between neighbours."""
        steps = np.minimum(np.sqrt(self.lrs[1:] / self.lrs[:-1]), WIDEST)
        steps = steps if len(steps) else np.array([WIDEST])
        left = np.concatenate([steps[:1], steps])[: len(self.lrs)]
        right = np.concatenate([steps, steps[-1:]])[-len(self.lrs) :]
        return np.column_stack([self.lrs / left, self.lrs * right])

    @property
    def middles(self) -> Floats:
        """(cells,): where to write in a cell."""
        return np.asarray(np.exp(np.log(self.edges).mean(axis=1)))


def draw(comparison: Comparison) -> Figure | None:
    """The map of all runs."""
    return loss_gap_map(comparison.runs, comparison.unit) if comparison.runs else None


def loss_gap_map(runs: Sequence[TrackedRun], unit: str = "") -> Figure:
    """The best final `loss_gap` at each learning rate, a row for each combination of the other settings.

    `runs` are ranked, best first, and the best has a star; `unit` is the target's. Where that is too many
    rows, those are joined that differ only in epochs, start and the like; of what is still too many the best
    are shown, and the caption says so.
    """
    runs = [run for run in runs if "lr" in run.params]
    keys, rows, joined, left_out = _rows(runs)
    caption = _caption(len(runs), joined, left_out)
    figure = canvas("Final loss gap by learning rate", caption, height=2.9 + 0.42 * len(rows))
    if not rows:
        return figure
    axes = figure.subplots()
    left, right = _frame(rows)
    axes.set(xscale="log", xlim=(left, right), ylim=(len(rows) - 0.5, -0.5), xlabel="lr, the learning rate")
    axes.set_yticks(range(len(rows)), [short(described(row.run, keys), 60) for row in rows])
    axes.tick_params(axis="y", length=0)
    norm = _norm(rows)
    for place, row in enumerate(rows):
        _draw_cells(axes, row, place, norm)
        _draw_limit(axes, row, place)
    axes.text(1.01, 1.0, "largest\nstable lr", transform=axes.transAxes, va="bottom", fontsize=9)
    handles = _legend(axes, rows, ranking.best(runs), unit)
    figure.legend(handles=handles, loc="outside upper right", ncols=4, frameon=False, fontsize=9)
    if norm and len({gap for row in rows for gap in row.gaps[~np.isnan(row.gaps)]}) > 1:
        colours = ScalarMappable(norm, VIRIDIS)
        label, slender = quantity("loss_gap", squared(unit)), 6 + 3 * len(rows)
        figure.colorbar(colours, ax=axes, label=label, extend=_beyond(rows, norm), aspect=slender)
    return figure


def _legend(axes: Axes, rows: Sequence[_Row], best: TrackedRun | None, unit: str) -> list[Artist]:
    """Handles; the best run's cell gets its star here."""
    look: dict[str, Any] = {"linestyle": "", "color": DARK}
    handles: list[Artist] = [
        Line2D([], [], color="black", linewidth=2.5, label="largest stable lr"),
        Patch(fill=False, hatch="///", edgecolor=HATCH, label="beyond it"),
    ]
    if any(np.isnan(row.gaps).any() for row in rows):
        handles.append(Line2D([], [], marker="x", label="diverged, or no result", **look))
    if best and "loss_gap" in best.metrics:
        star: dict[str, Any] = {"marker": "*", "markersize": 13, "mfc": "white", "mec": "black"}
        place, row = next((place, row) for place, row in enumerate(rows) if row.run is best)
        [cell] = np.flatnonzero(row.lrs == float(best.params["lr"]))
        axes.plot(row.middles[cell], place - TALL / 4, zorder=5, **star)
        label = f"best: {_shown(best.metrics['loss_gap'])} {short(squared(unit))}".rstrip()
        handles.append(Line2D([], [], linestyle="", label=label, **star))
    return handles


def _caption(number: int, joined: bool, left_out: int) -> str:
    parts = [f"{count(number)}."]
    if joined:
        parts.append("A cell is the best of all runs that share its row and learning rate.")
    if left_out:
        parts.append(f"{count(left_out, 'more row')} further down the ranking not shown.")
    parts.append(
        "Beyond the largest stable learning rate, 2 / λmax of the loss's Hessian, training must diverge."
    )
    return " ".join(parts)


def _rows(runs: Sequence[TrackedRun]) -> tuple[list[str], list[_Row], bool, int]:
    """What tells rows apart; the rows from the top; whether some were joined; how many are left out."""
    apart = [key for key in distinguishing(runs) if key != "lr"]
    known = [key for key in COLLAPSED if key in apart or key == "normalization"]
    keys = known + [key for key in apart if key not in known]
    rows = _grouped(runs, keys)
    if joined := len(rows) > MOST_ROWS:
        keys = [key for key in keys if key in COLLAPSED]
        rows = _grouped(runs, keys)
    best = rows[:MOST_ROWS]
    return keys, sorted(best, key=lambda row: _order(row, keys)), joined, len(rows) - len(best)


def _grouped(runs: Sequence[TrackedRun], keys: Sequence[str]) -> list[_Row]:
    """A row for each combination, in the order of their first runs."""
    groups: dict[tuple[str | None, ...], list[TrackedRun]] = defaultdict(list)
    for run in runs:
        groups[tuple(run.params.get(key) for key in keys)].append(run)
    return [_row(group) for group in groups.values()]


def _row(runs: Sequence[TrackedRun]) -> _Row:
    gaps: dict[float, float] = {}
    limit = math.nan
    for run in runs:
        lr = float(run.params["lr"])
        gaps[lr] = np.fmin(gaps.get(lr, math.nan), run.metrics.get("loss_gap", math.nan))
        limit = lr / run.metrics["lr_over_limit"] if "lr_over_limit" in run.metrics else limit
    lrs = np.array(sorted(gaps))
    return _Row(runs[0], lrs, np.array([gaps[lr] for lr in lrs]), limit)


def _order(row: _Row, keys: Sequence[str]) -> list[tuple[float, str]]:
    """By problem; then by limit, so that the limits are a staircase; then by what else there is."""
    settings = {key: natural(row.run.params.get(key, "")) for key in keys}
    problem = [settings.pop(key) for key in PROBLEM if key in settings]
    return [*problem, (float(f"{np.nan_to_num(row.limit):.5g}"), ""), *settings.values()]


def _frame(rows: Sequence[_Row]) -> tuple[float, float]:
    """From the first to the last cell, and on to limits that are less than a decade away."""
    ends = [edge for row in rows for edge in (row.edges[0, 0], row.edges[-1, 1])]
    left, right = min(ends), max(ends)
    near = [row.limit for row in rows if left / 10 < row.limit < right * 10]
    return min([left, *(limit / 1.3 for limit in near)]), max([right, *(limit * 1.3 for limit in near)])


def _norm(rows: Sequence[_Row]) -> LogNorm | None:
    """The range of the colours: that of the stable runs' gaps, since an unstable one's may be any."""
    gaps = np.concatenate([np.empty(0), *(row.gaps for row in rows)])
    stable = np.concatenate([np.empty(0), *(row.gaps[~(row.lrs > row.limit)] for row in rows)])
    if np.isnan(gaps).all():
        return None
    high = min(float(max(stable[stable > 0], default=max(gaps[gaps > 0], default=1.0))), LARGEST)
    low = max(float(min(gaps[gaps > 0], default=0.0)), high / DYNAMIC)
    return LogNorm(low, high) if low < high else LogNorm(low / WIDEST, high * WIDEST)


def _beyond(rows: Sequence[_Row], norm: LogNorm) -> str:
    """Which ends of the colour bar have gaps beyond them."""
    gaps = np.concatenate([row.gaps for row in rows])
    ends = bool((gaps < norm.vmin).any()), bool((gaps > norm.vmax).any())
    return {(True, True): "both", (True, False): "min", (False, True): "max"}.get(ends, "neither")


def _draw_cells(axes: Axes, row: _Row, place: int, norm: LogNorm | None) -> None:
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


def _draw_limit(axes: Axes, row: _Row, place: int) -> None:
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
    axes.text(
        1.01, place, limit_in_digits(row.limit), transform=axes.get_yaxis_transform(), va="center", fontsize=9
    )
