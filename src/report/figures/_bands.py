"""One calibration with its bands, for a report: the observations, the curve, and what it leaves."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...data import Pairs
from ...tracking.band import Wanted, band
from ..calibration import Calibration
from ._canvas import COLOURS, GREY, Floats, quantity

POINTS = 200
NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))  # which would hold addresses
MOST_DRAWN = 4000  # observations: more, evenly spaced over the input, look the same


def draw(calibration: Calibration, pairs: Pairs | None, tolerance: float | None) -> str:
    """The SVG, with the bands of the curve and of a new reading, 95 %; without `pairs` no observations."""
    figure = Figure(figsize=(4.1, 3.0), layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(2.2, 1))
    x = calibration.readings(POINTS)
    above.plot(x, calibration.curve.values(x), color=COLOURS[0], linewidth=1.2, label="calibration")
    _draw_bands(above, calibration, x, calibration.curve.values(x))
    _draw_bands(below, calibration, x, np.zeros(POINTS))
    below.axhline(0, color=COLOURS[0], linewidth=1)
    if pairs is not None:
        some = _some(pairs.t_u)
        t_u, t_c = pairs.t_u[some], pairs.t_c[some]
        look = {"color": "black", "markersize": 3}
        above.plot(t_u, t_c, "o", label="observations", **look)
        below.plot(t_u, t_c - calibration.curve.values(t_u), "o", **look)
    for each in (tolerance, -tolerance) if tolerance else ():
        below.axhline(each, color=COLOURS[1], linewidth=1, linestyle="--")
    if tolerance:
        above.plot([], [], color=COLOURS[1], linewidth=1, linestyle="--", label="tolerance")
    of_input, of_target = calibration.units
    above.set_ylabel(quantity(calibration.target, of_target), fontsize=8)
    below.set_ylabel("residual", fontsize=8)
    below.set_xlabel(quantity(calibration.input, of_input), fontsize=8)
    for axes in (above, below):
        axes.grid(color="0.92", linewidth=0.6)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    above.legend(fontsize=7, frameon=False)
    text = io.StringIO()
    with rc_context({"svg.hashsalt": "report"}):  # the same page from the same record
        figure.savefig(text, format="svg", metadata=NO_METADATA)
    return text.getvalue()[text.getvalue().index("<svg") :]


def _draw_bands(axes: Axes, calibration: Calibration, x: Floats, y: Floats) -> None:
    """About the values (P,) at readings (P,), where they are on record."""
    record = calibration.config["uncertainty"]
    if record is None:
        return
    for wanted, colour, label in (
        (Wanted(), GREY, "95 % of a new reading"),
        (Wanted(curve=True), COLOURS[0], "95 % of the curve"),
    ):
        reach = band(calibration.curve, record, wanted).reach(x)
        if np.isfinite(reach).all():
            axes.fill_between(x, y - reach, y + reach, color=colour, alpha=0.25, linewidth=0, label=label)


def _some(t_u: Floats) -> npt.NDArray[np.intp]:
    """The places of those that are drawn."""
    chosen = np.linspace(0, len(t_u) - 1, min(len(t_u), MOST_DRAWN)).astype(int)
    return np.asarray(np.argsort(t_u, kind="stable")[chosen])
