"""What a dry run shows: which points would converge and which diverge, and how long all would take."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from ..fit.forecast import Forecast
from ..terminal import lines
from .differences import columns
from .screen_table import Column, fitting, print_grid
from .table import param, title

MOST_ROWS = 30
WORDS = {
    "converged": ("converges", "will converge"),
    "stopped": ("stops short", "will stop short of convergence"),
    "diverged": ("diverges", "will diverge"),
    None: ("not known", "cannot be told"),
}
ORDER = list(WORDS)


def show(forecasts: Sequence[Forecast]) -> None:
    """The points as a sweep would rank them, the cheapest that converge first; counts, and the time."""
    ordered = sorted(forecasts, key=_rank)
    first = ordered[:MOST_ROWS]
    shown = fitting(_columns(ordered, first), lines.width())
    if shown:
        print_grid(shown, [each.outcome for each in first])
    for line in _lines(ordered):
        lines.say(line)


def _columns(forecasts: Sequence[Forecast], first: Sequence[Forecast]) -> list[Column]:
    """What tells the points apart and what is foretold; where that is too wide the limit goes first."""
    settings = [
        Column(title(key), [param(each.params.get(key, "")) for each in first]) for key in columns(forecasts)
    ]
    return [
        *settings,
        Column("limit", [each.limit for each in first], goes=1),
        Column("enough", [_epochs(each) for each in first]),
        Column("loss_gap", [_gap(each) for each in first], goes=2),
        Column("forecast", [_words(each) for each in first]),
    ]


def _rank(each: Forecast) -> tuple[int, float]:
    by = {"converged": float(each.params["epochs"]), "stopped": each.gap}.get(each.outcome or "", 0.0)
    return ORDER.index(each.outcome), math.inf if math.isnan(by) else by


def _epochs(each: Forecast) -> str:
    """How many are enough."""
    if not math.isfinite(each.enough):
        return "" if math.isnan(each.enough) else "never"
    return f"{each.enough:.0f}" if each.is_exact else f"~{each.enough:.2g}"


def _gap(each: Forecast) -> str:
    return "" if each.outcome == "diverged" or not math.isfinite(each.gap) else f"{each.gap:.3g}"


def _words(each: Forecast) -> str:
    at = f" at epoch {each.diverged_at}" if each.diverged_at else ""
    return WORDS[each.outcome][0] + at


def _lines(forecasts: Sequence[Forecast]) -> Iterator[str]:
    if len(forecasts) > MOST_ROWS:
        yield f"… and {len(forecasts) - MOST_ROWS:,} more"
    counts: Counter[str | None] = Counter(each.outcome for each in forecasts)
    parts = ", ".join(f"{counts[outcome]:,} {WORDS[outcome][1]}" for outcome in ORDER if counts[outcome])
    n = len(forecasts)
    yield f"{n:,} point{'s' * (n > 1)}: {parts}; nothing was trained, and nothing is on record"
    if any(each.outcome and not each.is_exact for each in forecasts):
        yield "~: by the curvature at the best fit, which is another on the way there"
    if any(each.outcome is None for each in forecasts):
        unknown = "beyond the limit where the loss is not quadratic, or without a curvature or one best fit"
        yield f"not known: {unknown}"
    if any(each.outcome == "stopped" and each.enough == math.inf for each in forecasts):
        yield "never, though within the limit: rounding is more than what is to be reached; try dtype=float64"
    yield f"training takes about {_time(sum(each.seconds for each in forecasts))} on this machine"


def _time(seconds: float) -> str:
    """
    >>> _time(0.2), _time(12), _time(200), _time(10000)
    ('1 s', '12 s', '3 min', '2.8 h')
    """
    if seconds < 100:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.2g} h"
