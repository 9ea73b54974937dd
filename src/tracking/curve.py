"""A calibrated function of readings: its true values, its slope, and where it takes a value, in raw units.

A part of a logged model's code, see `calibration_model`: it needs numpy alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]
Function = Callable[..., Floats]  # of readings (N,) and K numbers

ROUND_TRIP = 1e-9  # relative: what a reading may lose on the way there and back
ULPS = 4  # of a function's values: what arithmetic may lose
APART = 1e-6  # of the span: two readings that are nearer are one, beside a turn
FAR = 1.0  # spans beyond the calibrated range: further out nothing is claimed

# Where a function is looked at, in half spans from the middle of its range: finely within it, which is
# from -1 to 1, and ever more coarsely beyond, up to 1724 spans
GRID = np.sinh(np.linspace(-9, 9, 4001)) / np.sinh(1)
HALVINGS = 100  # of its cells, to the last digit and for readings near 0 further
SLOPE = 1e-5  # of a cell: the distance over which a slope is told
JUMP = 1e-6  # of the difference over a cell: more is left of it at a jump or a pole alone

STEP = 1e-5  # of the span: the distance over which a slope is measured,
NEARER = 1e-3  # or this part of what is left of the branch, where that is less


@dataclass(frozen=True, eq=False)
class Curve:
    """The function of `(reading - shift) * scale` and K parameters, calibrated with readings low to high.

    `polynomial`: the parameters are its coefficients, the highest power first.
    """

    function: Function
    params: Floats
    shift: float
    scale: float
    polynomial: bool
    low: float
    high: float

    @classmethod
    def of(cls, function: Function, config: Mapping[str, Any]) -> "Curve":
        """By what a logged model knows of it, see `calibration_model`."""
        params, (low, high) = np.array(config["params"], dtype=float), map(float, config["input_range"])
        shift, scale = float(config["shift"]), float(config["scale"])
        return cls(function, params, shift, scale, config["polynomial"], low, high)

    @property
    def span(self) -> float:
        """Of the calibrated range."""
        return self.high - self.low

    def values(self, readings: Floats, params: Floats | None = None) -> Floats:
        """The true value of each reading (N,), by other parameters if they are given."""
        used = self.params if params is None else params
        return np.asarray(self.function((readings - self.shift) * self.scale, *used), dtype=float)

    def slopes(self, readings: Floats) -> Floats:
        """The derivative at each reading (N,), by the reading."""
        if self.polynomial:
            return self.scale * np.polyval(np.polyder(self.params), (readings - self.shift) * self.scale)
        return derivative(self.values, readings, self.steps(readings))

    def steps(self, readings: Floats) -> Floats:
        """How far a slope at each reading (N,) may look to either side: not beyond its branch."""
        start, stop = self.branches(readings)
        return np.minimum(STEP * self.span, NEARER * np.minimum(readings - start, stop - readings))

    def is_calibrated(self, readings: Floats, slack: float = 0) -> Truths:
        """Which readings (N,) are within the range, with a slack in spans."""
        slack = slack * self.span
        return (self.low - slack <= readings) & (readings <= self.high + slack)

    def inverse(self, values: Floats) -> tuple[Floats, dict[int, Floats]]:
        """The reading of each true value (N,), not finite where there is none.

        It is the one within the calibrated range; else the nearest to that, on a branch that passes through
        it. Where others are as possible, those and itself, by the value's place, come second: several within
        the range, of which none is the reading, or several outside it and not far.
        """
        which, readings = self._places(values)
        at = np.flatnonzero(np.isfinite(readings))
        at = at[np.lexsort((readings[at], which[at]))]
        which, readings = which[at], readings[at]
        repeated = (np.diff(which) == 0) & (np.diff(readings) <= APART * self.span)
        first = np.concatenate([np.ones(len(at[:1]), bool), ~repeated])
        which, readings = which[first], readings[first]
        within = self.is_calibrated(readings, ROUND_TRIP)
        has_within = np.isin(which, which[within])
        reachable = within | self._passes_through(readings)
        possible = np.where(has_within, within, reachable & self.is_calibrated(readings, FAR))
        several = np.flatnonzero(np.bincount(which[possible], minlength=len(values)) > 1)
        reachable &= ~(has_within & np.isin(which, several))
        distance = abs(readings - (self.low + self.high) / 2)
        nearest_last = np.flatnonzero(reachable)[np.argsort(-distance[reachable], kind="stable")]
        found = np.full(len(values), np.nan)
        found[which[nearest_last]] = readings[nearest_last]
        return found, {int(place): readings[possible & (which == place)] for place in several}

    def branches(self, readings: Floats) -> tuple[Floats, Floats]:
        """Where the function begins and ceases to rise, or to fall, around each reading (N,)."""
        after = np.searchsorted(self._edges[1:-1], readings, "right") + 1
        return self._edges[after - 1], self._edges[after]

    def _passes_through(self, readings: Floats) -> Truths:
        """Whether each reading (N,) is on a branch of which a part is within the range."""
        passes = np.zeros(len(readings), bool)
        for slack in (-APART * self.span, APART * self.span):  # at a turn both of its branches count
            start, stop = self.branches(readings + slack)
            passes |= (start < self.high) & (stop > self.low)
        return passes

    def _places(self, values: Floats) -> tuple[Places, Floats]:
        """Where the function takes the values (N,): P places among them, and their readings."""
        if not self.polynomial:
            return self._crossings(values)
        roots = _roots(self.params, values)
        return np.tile(np.arange(len(values)), len(roots)), roots.ravel() / self.scale + self.shift

    def _crossings(self, values: Floats) -> tuple[Places, Floats]:
        """The same of any function, as far as a grid shows it: each cell that holds a value is halved."""
        grid = self.grid
        found = self.values(grid)
        change = np.diff(found)
        cells = np.flatnonzero(np.isfinite(change) & (change != 0))
        lower, upper = np.sort([found[cells], found[cells + 1]], axis=0)
        slack = ULPS * np.spacing(np.maximum(abs(lower), abs(upper)))
        which, cell = _held(values, lower - slack, upper + slack)
        level = np.clip(values[which], lower[cell], upper[cell])

        def off(readings: Floats) -> Floats:
            return self.values(readings) - level

        left, right = grid[cells[cell]], grid[cells[cell] + 1]
        side = np.sign(off(left))
        left, right = halved(lambda readings: np.sign(off(readings)) == side, left, right)
        readings = np.where(abs(off(left)) <= abs(off(right)), left, right)
        met = abs(off(readings)) <= JUMP * (upper - lower)[cell] + slack[cell]
        return which[met], readings[met]

    @cached_property
    def grid(self) -> Floats:
        """Readings in rising order, with those where the function begins, ends or turns."""
        grid: Floats = (self.low + self.high) / 2 + self.span / 2 * GRID
        for more in (self._vertices,) if self.polynomial else (self._ends, self._turns):
            grid = np.unique(np.concatenate([grid, *more(grid)]))
        return grid

    @cached_property
    def _edges(self) -> Floats:
        """Where on the grid a branch ends and another begins; infinite before the first, after the last."""
        change = np.diff(self.values(self.grid))
        kinds = np.where(np.isfinite(change), np.sign(change), 0)
        return np.concatenate([[-np.inf], self.grid[1:-1][kinds[1:] != kinds[:-1]], [np.inf]])

    def _vertices(self, grid: Floats) -> tuple[Floats]:
        """Of a polynomial, as exactly as the roots of its derivative."""
        roots = np.roots(np.polyder(self.params))
        found = roots.real[roots.imag == 0] / self.scale + self.shift
        return (found[(grid[0] < found) & (found < grid[-1])],)

    def _ends(self, grid: Floats) -> tuple[Floats, Floats]:
        """Neighbouring numbers of which one has a true value and the other has none."""
        defined = np.isfinite(self.values(grid))
        at = np.flatnonzero(defined[1:] != defined[:-1])
        return halved(
            lambda readings: np.isfinite(self.values(readings)) == defined[at], grid[at], grid[at + 1]
        )

    def _turns(self, grid: Floats) -> tuple[Floats, Floats]:
        """Neighbouring numbers between which a rise ends or begins."""
        rises = np.diff(self.values(grid)) > 0
        at = np.flatnonzero(rises[1:] != rises[:-1])
        step = SLOPE * (grid[at + 2] - grid[at])

        def rise(readings: Floats) -> Floats:
            return self.values(readings + step) - self.values(readings - step)

        return halved(lambda readings: (rise(readings) > 0) == rises[at], grid[at], grid[at + 2])


def derivative(function: Callable[[Floats], Floats], at: Floats, step: Floats) -> Floats:
    """By central differences, extrapolated to a step of 0 (Richardson): the error is of its 4th power."""

    def central(step: Floats) -> Floats:
        left, right = at - step, at + step
        return (function(right) - function(left)) / (right - left)

    return (4 * central(step / 2) - central(step)) / 3


def halved(stays: Callable[[Floats], Truths], left: Floats, right: Floats) -> tuple[Floats, Floats]:
    """The neighbouring numbers between left and right (P,) at which what is true at left ceases to be."""
    for _ in range(HALVINGS):
        middle = (left + right) / 2
        if ((middle == left) | (middle == right)).all():
            break
        stay = stays(middle)
        left, right = np.where(stay, middle, left), np.where(stay, right, middle)
    return left, right


def _held(values: Floats, lower: Floats, upper: Floats) -> tuple[Places, Places]:
    """Which of the values (N,) each cell (C,) holds: P pairs, a value's place and its cell's."""
    order = np.argsort(values)
    first = np.searchsorted(values, lower, "left", order)
    last = np.searchsorted(values, upper, "right", order)
    held = [order[start:stop] for start, stop in zip(first, last, strict=True)]
    return np.concatenate([order[:0], *held]), np.repeat(np.arange(len(lower)), last - first)


def _roots(params: Floats, values: Floats) -> Floats:
    """Where a polynomial takes the values (N,): (degree, N), not finite where it does not."""
    if len(params) > 3:
        shifted = np.tile(params, (len(values), 1))
        shifted[:, -1] -= values
        found = np.stack([np.roots(each) for each in shifted], axis=-1)
        return np.where(abs(found.imag) <= ROUND_TRIP * abs(found), found.real, np.inf)
    a, b, constant = np.pad(params, (3 - len(params), 0))  # a line is a parabola without curvature
    c = constant - values
    discriminant = b * b - 4 * a * c
    noise = ROUND_TRIP * (b * b + abs(4 * a * constant))
    discriminant[(-noise <= discriminant) & (discriminant < 0)] = 0  # the vertex itself, but for rounding
    q = -(b + np.copysign(np.sqrt(discriminant), b)) / 2  # a sum of one sign: no digits are lost
    return np.stack([q / a, c / q])
