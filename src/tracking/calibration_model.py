"""A calibration as an MLflow model: readings in, true values out, or the other way round, all in raw units.

MLflow keeps this file with every logged model and runs it where the model is loaded. It needs numpy, pandas
and MLflow, nothing of this project, and no torch. What it knows is its `model_config`:

    params        of a polynomial, the highest power first
    input         the column of readings
    target        the column of true values
    input_range   the least and the largest reading that it was calibrated with
"""

import warnings
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext

Floats = npt.NDArray[np.float64]

MOST_NAMED = 10  # of the numbers that are none
ROUNDING = 1e-9  # relative: what a reading may lose on the way there and back


class CalibrationModel(PythonModel):
    """A polynomial and its inverse, with a word on how far they hold."""

    def load_context(self, context: PythonModelContext) -> None:
        """Take what the model knows from its config."""
        config = context.model_config
        self.params = np.array(config["params"], dtype=float)
        self.input: str = config["input"]
        self.target: str = config["target"]
        self.low, self.high = map(float, config["input_range"])

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
            found = self._readings(values) if inverse else np.polyval(self.params, values)
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
        raise MlflowException.invalid_parameter_value(
            f"{which} of the columns {self.input} and {self.target} given: give one, and the other is found"
        )

    def _readings(self, values: Floats) -> Floats:
        """The reading of each true value (N,), not finite where there is none."""
        middle = (self.low + self.high) / 2
        roots = _roots(self.params, values)
        distances = np.where(np.isfinite(roots), np.abs(roots - middle), np.inf)
        # the nearest to the middle is in the range if any is, and else the nearest to the range
        return np.asarray(np.take_along_axis(roots, distances.argmin(axis=0)[None], axis=0)[0])

    def _in_range(self, readings: Floats, rounding: float = 0) -> npt.NDArray[np.bool_]:
        slack = rounding * (self.high - self.low)
        return (self.low - slack <= readings) & (readings <= self.high + slack)

    def _warn(self, given: str, missing: npt.NDArray[np.bool_], extrapolated: npt.NDArray[np.bool_]) -> None:
        count = len(missing)
        if extrapolated.any():
            warnings.warn(
                f"{extrapolated.sum()} of {count} readings are outside the calibrated range, "
                f"{self.low:g} to {self.high:g}: extrapolated",
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
        raise MlflowException.invalid_parameter_value(
            f"column {column.name}: {named}{more}, where finite numbers are needed"
        )
    return values


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


mlflow.models.set_model(CalibrationModel())
