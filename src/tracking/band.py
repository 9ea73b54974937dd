"""A calibration's uncertainty: the standard uncertainty of its curve, and the intervals about it.

A part of a logged model's code, see `calibration_model`: it needs numpy, and scipy for a quantile.

    u²(f) = |F'g|²          of the curve: g its derivatives by the parameters, F F' the covariance of these
    u²(f) + scatter²/m + common²              of a new reading, the mean of m
    f ± q times the root of that              its interval
    |y - f(x)| <= q times the root at x       of a true value y: the readings x about that where f is y

Sources: Draper and Smith, Applied Regression Analysis (1998); GUM (JCGM 100) for the sum; Fieller (1954) for
the last, which is his for a line.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from .curve import FAR, Curve, Floats, derivative, halved

# Along a column of F, whose length is a standard uncertainty: where and over which distance a change is told
ORIGIN, TRIAL = np.array(0.0), np.array(0.02)

# Why a reading has no interval
BEYOND = "no interval: more than one span beyond the calibrated range"
REACHING = "no interval: it would reach more than one span beyond the calibrated range"
NO_SLOPE = "no interval: the slope is not significant at this coverage"
TURN = "no interval: it would reach beyond {:.6g}, where the curve turns or ends"
UNKNOWN = "no interval: a reading's scatter is not known under this loss: ask for the curve, or give sigma"


@dataclass(frozen=True)
class Wanted:
    """Which interval is asked for: of a new reading, the mean of `replicates`, or of the curve itself.

    `sigma`: the standard uncertainty of a new reading's reference value; None for what the data had.
    """

    coverage: float = 0.95
    curve: bool = False
    replicates: int = 1
    sigma: float | None = None


def wanted(params: Mapping[str, Any]) -> Wanted:
    """From numbers, or their text; raises ValueError with every mistake in them."""
    given = {**asdict(Wanted()), **params}
    numbers = {name: _number(given[name]) for name in ("coverage", "replicates", "sigma")}
    if mistakes := list(_mistakes(given, numbers)):
        raise ValueError("; ".join(mistakes))
    sigma = None if given["sigma"] is None else numbers["sigma"]
    return Wanted(numbers["coverage"], bool(given["curve"]), int(numbers["replicates"]), sigma)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan


def _mistakes(given: Mapping[str, Any], numbers: Mapping[str, float]) -> Iterator[str]:
    if not 0 < numbers["coverage"] < 1:
        yield f"coverage {given['coverage']} is not allowed: give a number between 0 and 1, like 0.95"
    if not (1 <= numbers["replicates"] < np.inf and numbers["replicates"] % 1 == 0):
        yield f"replicates {given['replicates']} is not allowed: give a whole number from 1"
    if given["sigma"] is not None and not 0 < numbers["sigma"] < np.inf:
        yield f"sigma {given['sigma']} is not allowed: give a finite number greater than 0"
    if given["curve"] and (numbers["replicates"] != 1 or given["sigma"] is not None):
        yield "replicates and sigma are of a new reading, and curve is the curve itself: leave out either"


@dataclass(frozen=True, eq=False)
class Band:
    """The band about a curve.

    factor        (K, K): F of the curve's parameters, or of a polynomial's about `(reading - shift) * scale`
    variance      what is added to the curve's own, in squared target units
    quantile      how many standard uncertainties the band reaches to either side
    """

    curve: Curve
    factor: Floats
    shift: float
    scale: float
    variance: float
    quantile: float

    def uncertainties(self, readings: Floats) -> Floats:
        """The standard uncertainty of the value at each reading (N,)."""
        return np.sqrt(_squared(self._effects(readings)) + self.variance)

    def reach(self, readings: Floats) -> Floats:
        """How far the band is from the curve at each reading (N,)."""
        return self.quantile * self.uncertainties(readings)

    def inverted(self, values: Floats, readings: Floats) -> tuple[Floats, Floats]:
        """Where the band, outward from the reading of each value (N,), first leaves the value: (N,), (N,).

        Not a number where it holds the value up to the end of the branch, or to too far beyond the range.
        """
        ends = np.full((2, len(values)), np.nan)
        start, stop = self.curve.branches(readings)
        for branch in np.unique(start):
            on = (start == branch) & self.curve.is_calibrated(readings, FAR)
            if on.any():
                nodes = self._nodes(branch, stop[on][0])
                ends[0, on] = self._left(values[on], nodes[::-1])
                ends[1, on] = self._left(values[on], nodes)
        return ends[0], ends[1]

    def _nodes(self, start: float, stop: float) -> Floats:
        """The grid's readings on a branch, as far as there are intervals."""
        start, stop = np.clip([start, stop], *self._furthest)
        grid = self.curve.grid
        return np.concatenate([[start], grid[(start < grid) & (grid < stop)], [stop]])

    @property
    def _furthest(self) -> tuple[float, float]:
        return self.curve.low - FAR * self.curve.span, self.curve.high + FAR * self.curve.span

    def _left(self, values: Floats, nodes: Floats) -> Floats:
        """One end of each, on one branch, along whose nodes it goes: the cell where it is is halved.

        The edge of the band that follows the curve passes a value only after its reading, so its largest so
        far, which rises, tells where it first does.
        """
        sign = np.sign(np.nansum(np.sign(np.diff(self.curve.values(nodes)))))

        def edge(at: Floats) -> Floats:
            return np.asarray(sign * self.curve.values(at) - self.reach(at))

        largest = np.maximum.accumulate(np.nan_to_num(edge(nodes), nan=-np.inf))
        first = np.searchsorted(largest, sign * values, "right")
        is_left = (first > 0) & (first < len(nodes))
        value, first = sign * values[is_left], first[is_left]
        ends = np.full(len(values), np.nan)
        ends[is_left], _ = halved(lambda at: edge(at) <= value, nodes[first - 1], nodes[first])
        return ends

    def why_open(self, readings: Floats, lower: Floats, upper: Floats) -> list[str]:
        """Why there is no interval around each reading (N,), of which an end is missing."""
        if np.isnan(self.variance):
            return [UNKNOWN] * len(readings)
        change = derivative(self._effects, readings, self.curve.steps(readings))
        is_steep = abs(self.curve.slopes(readings)) > self.quantile * np.sqrt(_squared(change))
        reasons = [REACHING if steep else NO_SLOPE for steep in is_steep]
        first, last = self._furthest
        for at, (start, stop) in enumerate(zip(*self.curve.branches(readings), strict=True)):
            if not first <= readings[at] <= last:
                reasons[at] = BEYOND
            elif np.isnan(lower[at]) and start > first:
                reasons[at] = TURN.format(start)
            elif np.isnan(upper[at]) and stop < last:
                reasons[at] = TURN.format(stop)
        return reasons

    def _effects(self, readings: Floats) -> Floats:
        """`F'g` at each reading, (K, N): how the value changes along each column of F."""
        if self.curve.polynomial:
            powers = np.vander((readings - self.shift) * self.scale, len(self.factor))  # (N, K)
            return np.asarray((powers @ self.factor).T)

        def changed(times: Floats, column: Floats) -> Floats:
            return self.curve.values(readings, self.curve.params + times * column)

        return np.stack([derivative(partial(changed, column=each), ORIGIN, TRIAL) for each in self.factor.T])


def _squared(vectors: Floats) -> Floats:
    """The squared length of each of N, (K, N)."""
    return np.asarray((vectors**2).sum(axis=0))


def band(curve: Curve, record: Mapping[str, Any], asked: Wanted) -> Band:
    """The band that is asked for, from the uncertainty on record.

    Its variance is not a number, and so are its intervals, where the scatter of a new reading is not known.
    """
    scatter = record["scatter"] if asked.sigma is None else asked.sigma * record["unit"]
    scatter = 0.0 if asked.curve else np.nan if scatter is None else float(scatter)
    return Band(
        curve,
        np.array(record["factor"], dtype=float),
        float(record["shift"]),
        float(record["scale"]),
        scatter**2 / asked.replicates + float(record["common"]) ** 2,
        _quantile(asked.coverage, record["df"]),
    )


def _quantile(coverage: float, df: float | None) -> float:
    """Of Student's t, or where the scatter is known, of the normal distribution."""
    from scipy.special import ndtri, stdtrit  # type: ignore[import-untyped]  # not before it is needed

    tail = (1 - coverage) / 2
    return -float(ndtri(tail) if df is None else stdtrit(df, tail))
