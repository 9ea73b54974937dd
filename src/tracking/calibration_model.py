"""A calibration as an MLflow model: readings in, true values out, or the other way round, all in raw units.

MLflow keeps this file with every logged model, the run's function at its end, and runs it where the model is
loaded. It needs numpy, pandas and MLflow, and nothing of this project. What it knows is its `model_config`:

    params        of the function, in its order
    shift, scale  the function takes `(reading - shift) * scale`
    polynomial    whether the function is one of these coefficients, the highest power first
    input         the column of readings
    target        the column of true values
    input_range   the least and the largest reading that it was calibrated with
"""

import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]
Function = Callable[..., Floats]  # of readings (N,) and K numbers

MOST_NAMED = 10  # of the numbers that are none
ROUNDING = 1e-9  # relative: what a reading may lose on the way there and back
ULPS = 4  # of a function's values: what arithmetic may lose

# Where a function is looked at, in half spans from the middle of its range: finely within it, which is
# from -1 to 1, and ever more coarsely beyond, up to 1724 spans
GRID = np.sinh(np.linspace(-9, 9, 4001)) / np.sinh(1)
HALVINGS = 100  # of its cells, to the last digit and for readings near 0 further
SLOPE = 1e-5  # of a cell: the distance over which a slope is told
JUMP = 1e-6  # of the difference over a cell: more is left of it at a jump or a pole alone


class CalibrationModel(PythonModel):
    """A function and its inverse, with a word on how far they hold."""

    def __init__(self, function: Function) -> None:
        self.function = function

    def load_context(self, context: PythonModelContext) -> None:
        """Take what the model knows from its config."""
        config = context.model_config
        self.params = np.array(config["params"], dtype=float)
        self.shift, self.scale = float(config["shift"]), float(config["scale"])
        self.polynomial: bool = config["polynomial"]
        self.input: str = config["input"]
        self.target: str = config["target"]
        self.low, self.high = map(float, config["input_range"])
        self.middle = (self.low + self.high) / 2

    def predict(
        self,
        context: PythonModelContext | None,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """A frame with the one column gives the other, and `in_range`: is the reading within the range?

        A value without a finite counterpart, such as a temperature beyond a parabola's vertex, gives None
        and is not in range. Of several readings the one nearest the middle of the range is given. Raises
        MlflowException (HTTP 400) unless exactly one of the columns is there, all finite numbers.
        """
        del context, params
        given = self._given(model_input)
        values = _numbers(given)
        inverse = given.name == self.target
        with np.errstate(all="ignore"):  # what is not finite is said below
            found = self._readings(values) if inverse else self._true_values(values)
        finite = np.isfinite(found)
        in_range = finite & (self._in_range(found, ROUNDING) if inverse else self._in_range(values))
        self._warn(str(given.name), missing=~finite, extrapolated=finite & ~in_range)
        column = found.astype(float if finite.all() else object)
        column[~finite] = None  # JSON has no NaN
        other = self.input if inverse else self.target
        return pd.DataFrame({other: column, "in_range": in_range}, index=model_input.index)

    def _given(self, frame: pd.DataFrame) -> "pd.Series[Any]":
        """The one column that is there; a column without a single value is not."""
        names = [name for name in (self.input, self.target) if name in frame]
        if len(names) == 2:
            names = [name for name in names if frame[name].notna().any()]
        if len(names) == 1:
            return frame[names[0]]
        which = "both" if names else "neither"
        raise mlflow.MlflowException.invalid_parameter_value(
            f"{which} of the columns {self.input} and {self.target} given: give one, and the other is found"
        )

    def _true_values(self, readings: Floats) -> Floats:
        return np.asarray(self.function((readings - self.shift) * self.scale, *self.params), dtype=float)

    def _readings(self, values: Floats) -> Floats:
        """The reading of each true value (N,), not finite where there is none."""
        which, readings = self._solutions(values) if self.polynomial else self._crossings(values)
        # the nearest to the middle is in the range if any is, and else the nearest to the range
        nearest_last = np.argsort(abs(readings - self.middle), kind="stable")[::-1]
        found = np.full(len(values), np.nan)
        found[which[nearest_last]] = readings[nearest_last]
        return found

    def _solutions(self, values: Floats) -> tuple[Places, Floats]:
        """Where a polynomial takes the values (N,): P places among them, and their readings, exactly."""
        roots = _roots(self.params, values)
        return np.tile(np.arange(len(values)), len(roots)), roots.ravel() / self.scale + self.shift

    def _crossings(self, values: Floats) -> tuple[Places, Floats]:
        """The same of any function, as far as a grid shows it: each cell that holds a value is halved."""
        grid = self._grid
        found = self._true_values(grid)
        change = np.diff(found)
        cells = np.flatnonzero(np.isfinite(change) & (change != 0))
        lower, upper = np.sort([found[cells], found[cells + 1]], axis=0)
        slack = ULPS * np.spacing(np.maximum(abs(lower), abs(upper)))
        which, cell = _held(values, lower - slack, upper + slack)
        level = np.clip(values[which], lower[cell], upper[cell])

        def off(readings: Floats) -> Floats:
            return self._true_values(readings) - level

        left, right = grid[cells[cell]], grid[cells[cell] + 1]
        side = np.sign(off(left))
        left, right = _halved(lambda readings: np.sign(off(readings)) == side, left, right)
        readings = np.where(abs(off(left)) <= abs(off(right)), left, right)
        met = abs(off(readings)) <= JUMP * (upper - lower)[cell] + slack[cell]
        return which[met], readings[met]

    @cached_property
    def _grid(self) -> Floats:
        """Readings in rising order, with those where the function begins, ends or turns."""
        grid: Floats = self.middle + (self.high - self.low) / 2 * GRID
        for more in (self._ends, self._turns):
            grid = np.unique(np.concatenate([grid, *more(grid)]))
        return grid

    def _ends(self, grid: Floats) -> tuple[Floats, Floats]:
        """Neighbouring numbers of which one has a true value and the other has none."""
        defined = np.isfinite(self._true_values(grid))
        at = np.flatnonzero(defined[1:] != defined[:-1])
        return _halved(
            lambda readings: np.isfinite(self._true_values(readings)) == defined[at], grid[at], grid[at + 1]
        )

    def _turns(self, grid: Floats) -> tuple[Floats, Floats]:
        """Neighbouring numbers between which a rise ends or begins."""
        rises = np.diff(self._true_values(grid)) > 0
        at = np.flatnonzero(rises[1:] != rises[:-1])
        step = SLOPE * (grid[at + 2] - grid[at])

        def rise(readings: Floats) -> Floats:
            return self._true_values(readings + step) - self._true_values(readings - step)

        return _halved(lambda readings: (rise(readings) > 0) == rises[at], grid[at], grid[at + 2])

    def _in_range(self, readings: Floats, rounding: float = 0) -> Truths:
        slack = rounding * (self.high - self.low)
        return (self.low - slack <= readings) & (readings <= self.high + slack)

    def _warn(self, given: str, missing: Truths, extrapolated: Truths) -> None:
        count = len(missing)
        if extrapolated.any():
            warnings.warn(
                f"{extrapolated.sum()} of {count} readings are outside the calibrated range, "
                f"{self.low:.15g} to {self.high:.15g}: extrapolated",
                stacklevel=2,
            )
        if missing.any():
            other = self.input if given == self.target else self.target
            warnings.warn(f"{missing.sum()} of {count} values of {given} have no {other}", stacklevel=2)


def _numbers(column: "pd.Series[Any]") -> Floats:
    """The column (N,) as finite floats."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        named = ", ".join(f"{column.iloc[row]} in row {row + 1}" for row in bad[:MOST_NAMED])
        more = f" and {len(bad) - MOST_NAMED} more" if len(bad) > MOST_NAMED else ""
        raise mlflow.MlflowException.invalid_parameter_value(
            f"column {column.name}: {named}{more}, where finite numbers are needed"
        )
    return values


def _held(values: Floats, lower: Floats, upper: Floats) -> tuple[Places, Places]:
    """Which of the values (N,) each cell (C,) holds: P pairs, a value's place and its cell's."""
    order = np.argsort(values)
    first = np.searchsorted(values, lower, "left", order)
    last = np.searchsorted(values, upper, "right", order)
    held = [order[start:stop] for start, stop in zip(first, last, strict=True)]
    return np.concatenate([order[:0], *held]), np.repeat(np.arange(len(lower)), last - first)


def _halved(stays: Callable[[Floats], Truths], left: Floats, right: Floats) -> tuple[Floats, Floats]:
    """The neighbouring numbers between left and right (P,) at which what is true at left ceases to be."""
    for _ in range(HALVINGS):
        middle = (left + right) / 2
        stay = stays(middle)
        left, right = np.where(stay, middle, left), np.where(stay, right, middle)
    return left, right


def _roots(params: Floats, values: Floats) -> Floats:
    """Where a polynomial takes the values (N,): (degree, N), not finite where it does not."""
    if len(params) > 3:
        shifted = np.tile(params, (len(values), 1))
        shifted[:, -1] -= values
        found = np.stack([np.roots(each) for each in shifted], axis=-1)
        return np.where(abs(found.imag) <= ROUNDING * abs(found), found.real, np.inf)
    a, b, constant = np.pad(params, (3 - len(params), 0))  # a line is a parabola without curvature
    c = constant - values
    discriminant = b * b - 4 * a * c
    noise = ROUNDING * (b * b + abs(4 * a * constant))
    discriminant[(-noise <= discriminant) & (discriminant < 0)] = 0  # the vertex itself, but for rounding
    q = -(b + np.copysign(np.sqrt(discriminant), b)) / 2  # a sum of one sign: no digits are lost
    return np.stack([q / a, c / q])
