"""Does the model fit? What speaks against it, in which order, and how often it may be wrong.

Each test is at 0.2 % per data set; all of them together raise an alarm on fewer than 1 % of sound data, as
`simulations/` measures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from . import words
from .fitted import Fitted
from .lack_of_fit import LackOfFit, curves, replicates, runs
from .outliers import Outlier, outlier, pair
from .shape import saturation, turns

LEVEL = 0.002  # of each test
PAIRED = 0.0005  # of all pairs, beside single readings: what it adds to their false alarms
MOST_ASIDE = 3  # times that readings are set aside: beyond that it is no matter of single ones


@dataclass(frozen=True)
class Finding:
    """What speaks against a fit, in a sentence, with p (None: no test), lines of the file and numbers.

    The kinds: saturation, outlier, outliers and swapped (two lines), next power, next two powers, logarithm,
    replicates, runs, not monotonic. Numbers are the test's own; `residual_sd` is as it is, `without` as it
    would be, both of them Birge's ratio where there are weights.
    """

    kind: str
    p: float | None
    sentence: str
    lines: tuple[int, ...] = ()
    numbers: dict[str, float] = field(default_factory=dict)


def findings(fit: Fitted) -> list[Finding]:
    """What is to be told of a fit, in order; nothing of one that is sound, or exact.

    Saturation is told before all tests, none of which is asked then. Next, whatever has the smaller p: a
    reading that is off, which is set aside before they are asked again, or a curve of another shape.
    Replicates and runs speak where no curve does. That the curve turns within the range is always told.
    """
    return [*(list(_saturated(fit)) or _tested(fit)), *_turning(fit)]


def _saturated(fit: Fitted) -> Iterator[Finding]:
    for found in saturation(fit):
        numbers = {"reading": float(fit.t_u[found.places[0]]), "observations": len(found.places)}
        sentence = words.saturated(fit, found)
        yield Finding("saturation", found.p, sentence, _lines(fit, found.places), numbers)


def _tested(fit: Fitted) -> Iterator[Finding]:
    aside = np.zeros(fit.n, bool)
    left = fit
    for times in range(MOST_ASIDE + 1):
        if left.free < 1 or left.is_exact:
            return
        off, curve = _off(left) if times < MOST_ASIDE else None, _curve(left)
        if curve and not (off and off.p <= curve.p):
            yield _curved(left, curve)
            return
        if not off:
            break
        yield _named(left, off)
        aside[np.flatnonzero(~aside)[list(off.places)]] = True
        left = fit.without(aside)
    yield from _scattered(left)


def _off(fit: Fitted) -> Outlier | None:
    """A reading that is off; where none is alone, two that are together."""
    one = outlier(fit)
    if one and one.p < LEVEL:
        return one
    two = pair(fit)
    return two if two and two.p < PAIRED else None


def _curve(fit: Fitted) -> LackOfFit | None:
    """The shape whose test has the smallest p, where that speaks."""
    likeliest = min(curves(fit), key=lambda curve: curve.p, default=None)
    return likeliest if likeliest and likeliest.p < LEVEL else None


def _curved(fit: Fitted, found: LackOfFit) -> Finding:
    numbers = {"statistic": found.statistic, "ratio": found.ratio, "residual_sd": fit.scale}
    numbers["without"] = found.ratio * fit.scale
    kind = ("logarithm", "next power", "next two powers")[len(found.powers)]
    return Finding(kind, found.p, words.curve(fit, found), (), numbers)


def _named(fit: Fitted, found: Outlier) -> Finding:
    kind = "swapped" if found.swapped else "outliers" if len(found.places) > 1 else "outlier"
    numbers = {"statistic": found.statistic, "residual_sd": fit.scale, "without": found.scale(fit)}
    lines = _lines(fit, np.array(found.places))
    return Finding(kind, found.p, words.off(fit, found, lines), lines, numbers)


def _scattered(fit: Fitted) -> Iterator[Finding]:
    """What replicates and signs say, where no curve that was asked of does."""
    apart = replicates(fit)
    if apart and apart.p < LEVEL:
        numbers = {"statistic": apart.statistic, "ratio": apart.ratio, "residual_sd": fit.scale}
        yield Finding("replicates", apart.p, words.replicates(fit, apart), (), numbers)
    signs = runs(fit, beyond=fit.rounding)
    if signs.p < LEVEL:
        yield Finding("runs", signs.p, words.runs(fit, signs), (), {"runs": signs.runs})


def _turning(fit: Fitted) -> Iterator[Finding]:
    if len(found := turns(fit)):
        yield Finding("not monotonic", None, words.turning(fit, found), (), {"turns": len(found)})


def _lines(fit: Fitted, places: np.ndarray) -> tuple[int, ...]:
    return tuple(int(line) for line in fit.lines[places])
