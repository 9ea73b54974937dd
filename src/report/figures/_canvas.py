"""What all figures share: one look, safe for the colour-blind and in grey print, and text that fits.

Matplotlib's objects alone, no pyplot: no global state, so figures can be drawn in threads.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import cache
from itertools import cycle, islice
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Patch

from ...tracking.limits import cut

Floats = npt.NDArray[np.float64]
Dashes = str | tuple[int, tuple[int, ...]]

# Okabe and Ito's colours, less black, which the exact answers have, and yellow, which no paper shows
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", (0, (6, 2)), (0, (1, 1)), (0, (6, 2, 1, 2)))
GREY, DARK = "0.55", "0.25"
LONGEST_NAME = 40  # of a column on a figure
OPTIMUM: dict[str, Any] = {"color": "black", "linestyle": (0, (1, 1.5)), "linewidth": 1.5}
DIVERGED: dict[str, Any] = {"color": GREY, "linestyle": (0, (3, 2)), "linewidth": 1.2, "zorder": 1.5}
OPTIMUM_POINT: dict[str, Any] = {"marker": "D", "mfc": "none", "mec": "black", "markersize": 8}
BANDS = ((5, 95, 0.15), (25, 75, 0.3))  # percentiles from and to, opacity
NONE: Floats = np.empty((0, 2))
FRAME = np.array([0.06, 0.04])  # what a badge keeps off the frame's sides, in fractions of it
LARGEST = 1e200  # that a logarithmic axis can end at: it looks for ticks a third of its decades further on
BADGE = {"boxstyle": "round,pad=0.25,rounding_size=0.6", "facecolor": "white"}


def canvas(title: str, caption: str, width: float = 10.0, height: float = 5.5) -> Figure:
    """An empty figure of that size in inches, with a title above and what it shows below."""
    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    lines = textwrap.fill(caption, width=int(15 * width))
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=9, color=DARK)
    return figure


def styles(number: int) -> list[tuple[str, Dashes]]:
    """Pairs of colour and dashes, no pair twice among the first twelve: a colour never stands alone."""
    return list(islice(zip(cycle(COLOURS), cycle(DASHES), strict=False), number))


def short(text: str, longest: int = LONGEST_NAME) -> str:
    """A name from the user's file or command line, on one line and as it stands.

    Dollars begin no formula; a character that the font lacks is a box, as matplotlib would draw it, but
    with a warning on the user's screen.
    """
    line = cut(" ".join(text.split()), longest)
    shown = "".join(char if ord(char) in _characters() else "□" for char in line)
    return shown.replace("$", r"\$")


@cache
def _characters() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties())).get_charmap())


def quantity(name: str, unit: str) -> str:
    """An axis's label; a name that says its unit says it once.

    >>> quantity("t_c", "°C"), quantity("t_u", ""), quantity("volt [mV]", "mV"), quantity("Ref (°C)", "°C")
    ('t_c [°C]', 't_u', 'volt [mV]', 'Ref (°C)')
    """
    is_said = not unit or name.rstrip().endswith((f"[{unit}]", f"({unit})"))
    return short(name) if is_said else f"{short(name)} [{short(unit)}]"


def count(number: int, noun: str = "run") -> str:
    """A number of things.

    >>> count(1), count(12345, "fit")
    ('1 run', '12,345 fits')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def draw_legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Right of the axes; long labels are wrapped."""
    labels = [textwrap.fill(str(handle.get_label()), 42, subsequent_indent="    ") for handle in handles]
    if handles:
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=9)


def draw_bands(axes: Axes, x: Floats, values: Floats, colour: str = GREY) -> list[Patch]:
    """Percentiles of curves (n, points), NaN where one has ended, over x (points,): handles for a legend."""
    handles = []
    ends = np.nanpercentile(values, [end for low, high, _ in BANDS for end in (low, high)], axis=0)
    for (low, high, opacity), edges in zip(BANDS, np.split(ends, len(BANDS)), strict=True):
        look: dict[str, Any] = {"color": colour, "alpha": opacity, "linewidth": 0}
        axes.fill_between(x, *edges, **look)
        handles.append(Patch(label=f"{low} to {high} % of the usable runs", **look))
    return handles


def draw_badges(axes: Axes, lines: Sequence[tuple[Floats, Floats, str, str]], points: Floats = NONE) -> None:
    """Write a badge on each line, given as x and y in data units, badge and colour; x ascends.

    Each stands where it is far from the other lines, from points (n, 2) and from the badges before it. The
    axes' limits must be final.
    """
    to_axes = axes.transScale + axes.transLimits
    points = to_axes.transform(points)
    paths = [_within_frame(to_axes.transform(np.column_stack([x, y]))) for x, y, _, _ in lines]
    taken = NONE
    for index, (path, (*_, badge, colour)) in enumerate(zip(paths, lines, strict=True)):
        if not len(path):
            continue
        others = np.concatenate([points, *paths[:index], *paths[index + 1 :]])
        room = np.minimum(_distance(path, others), 0.05) + np.minimum(_distance(path, taken), 0.12)
        x, y = path[np.argmax(room)]
        taken = np.vstack([taken, (x, y)])
        axes.text(
            x,
            y,
            badge,
            transform=axes.transAxes,
            ha="center",
            va="center",
            fontsize=8,
            bbox=BADGE | {"edgecolor": colour},
            zorder=5,
        )


def _within_frame(path: Floats) -> Floats:
    """A line through points (n, 2) in fractions of the frame -> 60 points of it, those well within."""
    x = np.linspace(path[0, 0], path[-1, 0], 60)
    dense = np.column_stack([x, np.interp(x, path[:, 0], path[:, 1])])
    return dense[((dense > FRAME) & (dense < 1 - FRAME)).all(axis=1)]


def _distance(points: Floats, others: Floats) -> Floats:
    """From each of (n, 2) points to the nearest of the others (m, 2): (n,), infinite where m is 0."""
    apart = np.linalg.norm(points[:, None] - others[None], axis=-1)
    return np.asarray(apart.min(axis=1, initial=np.inf))
