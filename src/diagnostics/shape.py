"""What no test of scatter would call by its name: an instrument at the end of its range, a curve that turns.

Shapes and symbols as in `fitted.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .fitted import Bools, Fitted, Floats, Ints

SATURATED = 0.0005  # p at each end: of sound replicates one data set in 1,000
NEAR = 0.1  # of the distance to the next reading: what differs by less is one reading, with its noise
POINTS = 1001  # of the range, at which the curve is looked at
FLAT = 1e-9  # of the curve's span: what rounding may move it


@dataclass(frozen=True)
class Saturation:
    """The places of the observations at an extreme reading, and p that they scatter as others do."""

    places: Ints
    p: float


def saturation(fit: Fitted) -> Iterator[Saturation]:
    """Each end of the readings that repeats under reference values too different for scatter."""
    return (end for end in repeated_ends(fit) if end.p < SATURATED)


def repeated_ends(fit: Fitted) -> Iterator[Saturation]:
    """Each end of the readings that repeats, exactly or but for noise, with p.

    By F, beside the residuals of a fit without the repeated ends, and again without the value that is
    farthest from that fit: one alone is a typing error among replicates. Where only two share the reading,
    the other one must be off that fit itself.
    """
    ends = [_end(fit, extreme) for extreme in (fit.t_u.min(), fit.t_u.max())]
    repeated = [end for end in ends if end.sum() > 1]
    if not repeated:
        return
    aside = np.logical_or.reduce(repeated)
    noise = max(float(np.ptp(fit.t_u[end])) for end in repeated)
    if _distinct(fit.t_u[~aside], noise) < fit.k or fit.free <= aside.sum():
        return
    rest = fit.without(aside)
    variance = max(rest.variance(rest.squares, rest.free), float(fit.floors.mean()))
    if not variance:  # all others are 0
        return
    misses = fit.weights * (fit.t_c - fit.best_by(~aside)[0])
    for end in repeated:
        p = _spread(misses[end], fit.weights[end], variance, rest.free)
        yield Saturation(np.flatnonzero(end), p)


def _end(fit: Fitted, extreme: float) -> Bools:
    """Which readings (N,) are the extreme one, but for noise; the most of which there are others enough."""
    far = np.abs(fit.t_u - extreme)
    ordered = np.sort(far)
    for place in np.flatnonzero(ordered[:-1] < NEAR * np.diff(ordered))[::-1]:
        end: Bools = far <= ordered[place]
        if _distinct(fit.t_u[~end], ordered[place]) >= fit.k and _is_level(fit, end):
            return end
    alone: Bools = far == 0
    return alone


def _is_level(fit: Fitted, end: Bools) -> bool:
    """Whether the readings differ by less than the reference values do: decades of both go on rising."""
    return bool(np.ptp(fit.predictions[end]) <= NEAR * np.ptp(fit.t_c[end]))


def _distinct(readings: Floats, noise: float) -> int:
    """How many of the readings (n,) differ by much more than this noise."""
    return 1 + int((np.diff(np.sort(readings)) > noise / NEAR).sum())


def _spread(misses: Floats, weights: Floats, variance: float, free: int) -> float:
    """The larger p of the whitened misses (n,) of one reading, all of them and without the farthest."""
    nearer = np.arange(len(misses)) != np.argmax(np.abs(misses))
    kept = (np.ones_like(nearer), nearer)
    return max(_by_scatter(misses[each], weights[each], variance, free) for each in kept)


def _by_scatter(misses: Floats, weights: Floats, variance: float, free: int) -> float:
    """p of F: the misses (n,) about their mean, one miss about 0, beside a variance with `free`."""
    from scipy.special import fdtrc  # type: ignore[import-untyped]

    mean = weights @ misses / (weights @ weights) if len(misses) > 1 else 0.0
    q = max(len(misses) - 1, 1)
    return float(fdtrc(q, free, float(((misses - weights * mean) ** 2).sum()) / q / variance))


def turns(fit: Fitted) -> Floats:
    """The readings (n,) at which the curve turns within the calibrated range; none where it is monotonic."""
    if fit.predict is None:
        return np.empty(0)
    t_u = np.linspace(fit.t_u.min(), fit.t_u.max(), POINTS)
    t_c = fit.predict(t_u)
    steps = np.diff(t_c)
    told = np.flatnonzero(np.abs(steps) > FLAT * np.ptp(t_c))
    ways = np.sign(steps[told])
    turned: Floats = t_u[told[1:]][ways[1:] != ways[:-1]]
    return turned
