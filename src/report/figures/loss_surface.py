"""The loss over the parameters, and the path that a run took down it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...spelling import best_is
from ...tracking.record import TrackedRun
from ..comparison import Comparison
from ..loss_unit import loss_unit
from ._canvas import (
    COLOURS,
    DIVERGED,
    OPTIMUM_POINT,
    Floats,
    canvas,
    count,
    draw_legend,
    quantity,
    short,
)
from ._named import is_usable, names
from ._surface import Surface, frame, steps_within, surface

GRID = 64  # points along each side of a surface, and
CURVE = 400  # along a curve
DECADES = 4  # of level lines, from the highest down
LEVELS = (1, 3)  # in each decade
LONG = 10  # times as steep across as along: a long valley
APART = 0.08  # epochs are written no nearer to each other, in fractions of the frame
PATH: dict[str, Any] = {"color": COLOURS[0], "linewidth": 1.6}
START: dict[str, Any] = {"marker": "o", "mfc": "white", "mec": "black", "markersize": 8, "zorder": 6}
END: dict[str, Any] = {"marker": "o", "color": COLOURS[0], "markersize": 7, "zorder": 6}
SHADES: dict[str, Any] = {"cmap": "viridis", "alpha": 0.35}


@dataclass(frozen=True, eq=False)
class Path:
    """A run's parameters (P, K) before the updates of the epochs (P,) on record, and after its last."""

    run: TrackedRun
    epochs: Sequence[int]
    params: torch.Tensor


def draw(comparison: Comparison) -> Figure | None:
    """The first run's; None where its path is not on record, as of a run in a sweep, or its data are gone."""
    if not comparison.runs or not any(name.startswith("path_") for name in comparison.runs[0].metrics):
        return None
    if not comparison.pairs:
        return None
    over = surface(comparison.runs[0], comparison.settings, comparison.pairs)
    return loss_surface(over, _path(comparison, over.names), loss_unit(comparison))


def _path(comparison: Comparison, parameters: Sequence[str]) -> Path:
    run = comparison.runs[0]
    curves = [comparison.curves([run], f"path_{name}")[run.run_id] for name in parameters]
    epochs = list(curves[0][0])
    params = torch.tensor([values for _, values in curves], dtype=torch.float64).T
    if found := run.calibration():
        last = torch.tensor([*found[0].values()], dtype=torch.float64)
        if not torch.equal(last, params[-1]):  # of a run that was interrupted they are the same
            epochs, params = [*epochs, epochs[-1] + 1], torch.vstack([params, last])
    return Path(run, epochs, params)


def loss_surface(over: Surface, path: Path, unit: str = "") -> Figure:
    """Lines of equal loss with the path over them; of one parameter the curve of the loss.

    `unit` is the loss's. The frame holds the start, the best fit and the whole path, or of a run that
    diverged its first steps.
    """
    points, best = over.points(path.params), over.best_point
    low, high = frame(np.concatenate([points[:1], best]), points, is_usable(path.run))
    points = points[: steps_within(points, low, high) + 1]  # and the step that leaves
    caption = " ".join([*_what_is_shown(over, unit), *_what_it_teaches(path.run)])
    figure = canvas("The loss over the parameters, and the path down it", caption, height=6.0)
    axes = figure.subplots()
    axes.set(xlim=(low[0], high[0]), xlabel=short(over.label(0), 80))
    if len(low) == 1:
        _draw_curve(axes, over, low, high, unit)
        points, best = (np.column_stack([each, over.losses(each)]) for each in (points, best))
    else:
        axes.set(ylim=(low[1], high[1]), ylabel=short(over.label(1), 80))
        _draw_levels(axes, over, low, high)
    handles = _draw_path(axes, path, points)
    if len(best):
        loss = path.run.metrics.get("best_loss", over.losses(over.best_point)[0])
        label = f"{best_is(path.run.params)}: loss {loss:.4g}"
        handles += axes.plot(*best.T, linestyle="", label=label, zorder=7, **OPTIMUM_POINT)
    draw_legend(figure, handles)
    return figure


def _what_is_shown(over: Surface, unit: str) -> Iterator[str]:
    if over.is_cut:
        yield (
            f"Of {len(over.names)} parameters a plane through the best fit is shown, in the directions along "
            "which the predictions change most (across) and least (up), with the path's projection onto it."
        )
    if len(over.directions) == 2:
        lowest = "the lowest shown" if over.best is None else "the best fit's"
        above = f"how far that is above {lowest}{_in(unit)}"
        yield f"A line joins parameters of the same loss, and says {above}."
    if over.is_sample:
        yield f"The loss is that of {count(len(over.t_un), 'observation')}, evenly spaced in the file."
    yield "Parameters are as trained; numbers at the path are epochs."


def _in(unit: str) -> str:
    return f" in {short(unit)}" if unit else ""


def _what_it_teaches(run: TrackedRun) -> Iterator[str]:
    """Why the path goes as it does, from the run's own numbers."""
    if not is_usable(run):
        if run.metrics.get("lr_over_limit", 0.0) > 1:
            overshot = "Each step goes beyond the valley, to where it is steeper still"
            yield f"{overshot}: the learning rate is too large."
        return
    if (ratio := run.metrics.get("condition_number", 0.0)) > LONG:
        steeper = f"{float(f'{ratio:.2g}'):,.0f} times steeper across than along"
        yield (
            f"The valley is {steeper}: the path soon reaches its floor, and then creeps along "
            "it, for steps are as long as the slope is steep."
        )


def _draw_levels(axes: Axes, over: Surface, low: Floats, high: Floats) -> None:
    x, y = (np.linspace(low[side], high[side], GRID) for side in (0, 1))
    losses = over.losses(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)).reshape(GRID, GRID)
    if np.isnan(losses).all():
        return
    lowest = np.nanmin(np.append(losses, over.losses(over.best_point)))
    above = np.ma.masked_invalid(np.log10(np.maximum(losses - lowest, np.finfo(float).tiny)))
    decades = np.floor(above.max()) + np.arange(-DECADES, 1)
    levels = np.add.outer(decades, np.log10(LEVELS)).ravel()
    levels = levels[(levels > _resolved(over, (high - low) / (GRID - 1), lowest)) & (levels < above.max())]
    if len(levels) < 2:  # too few to be filled
        return
    axes.contourf(x, y, above, levels=levels, extend="both", **SHADES)
    lines = axes.contour(x, y, above, levels=levels, colors="0.35", linewidths=0.7, linestyles="solid")
    labelled = [level for level in levels if level in decades]
    axes.clabel(lines, labelled, fmt=lambda level: f"+{10**level:,.6g}", fontsize=8)


def _resolved(over: Surface, cell: Floats, lowest: float) -> float:
    """The logarithm of how far above the best fit a grid shows lines: below, a narrow valley falls apart."""
    if over.best is None:
        return -np.inf
    return float(np.log10(max(over.losses(over.best_point + np.diag(cell)).max() - lowest, 0) or 1e-300))


def _draw_curve(axes: Axes, over: Surface, low: Floats, high: Floats, unit: str) -> None:
    x = np.linspace(low[0], high[0], CURVE)
    axes.set(ylabel=quantity("loss", unit))
    axes.grid(color="0.92")
    losses = over.losses(x[:, None])
    margin = 0.05 * np.ptp(losses)
    axes.set_ylim(losses.min() - margin, losses.max() + margin)
    axes.plot(x, losses, color="0.35", linewidth=1)


def _draw_path(axes: Axes, path: Path, points: Floats) -> list[Artist]:
    """Handles for a legend."""
    usable = is_usable(path.run)
    [label] = names([path.run], [])
    label += "" if usable else ", diverged"
    with_dots: dict[str, Any] = {"marker": ".", "markersize": 5, "zorder": 5, "label": label}
    handles: list[Artist] = list(axes.plot(*points.T, **(PATH if usable else DIVERGED) | with_dots))
    handles += axes.plot(*points[:1].T, linestyle="", label="start", **START)
    if usable:
        end = f"end: loss {path.run.loss:.4g}"
        handles += axes.plot(*points[-1:].T, linestyle="", label=end, **END)
    _write_epochs(axes, path, points)
    return handles


def _write_epochs(axes: Axes, path: Path, points: Floats) -> None:
    """At the first epochs and the powers of ten, where there is room."""
    to_axes = axes.transScale + axes.transLimits
    places = to_axes.transform(points)
    taken = places[:1]
    for epoch, place, point in zip(path.epochs, places, points, strict=False):
        is_round = epoch <= 5 or f"{epoch:e}".startswith("1.000000e")
        is_inside = bool(((place > 0) & (place < 1)).all())
        if is_round and is_inside and np.linalg.norm(taken - place, axis=1).min() > APART:
            axes.annotate(
                f"{epoch:,}", point, (5, 5), textcoords="offset points", fontsize=8, zorder=6, color="black"
            )
            taken = np.vstack([taken, place])
