"""A calibration as an MLflow model: readings in, true values out, or the other way round, all in raw units.

MLflow keeps this file's text with every logged model, after those of `curve` and `band` and before the run's
function, and runs it where the model is loaded. It needs numpy, scipy, pandas and MLflow, and nothing of this
project. What it knows is its `model_config`:

    params        of the function, in its order
    shift, scale  the function takes `(reading - shift) * scale`
    polynomial    whether the function is one of these coefficients, the highest power first
    input         the column of readings
    target        the column of true values
    input_range   the least and the largest reading that it was calibrated with
    uncertainty   what is on record of the parameters' and the scatter's, see `band`; None for nothing
"""

import warnings
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from .band import BEYOND, UNKNOWN, Band, Wanted, band, wanted
from .curve import FAR, ROUND_TRIP, Curve, Floats, Function, Truths

Remarks = npt.NDArray[np.object_]  # text, or None

MOST_NAMED = 10  # of the numbers that are none, and of one value's readings

NONE_GIVEN = "no reading: {} within the range"
NEAREST_GIVEN = "no interval: {} possible, outside the range"
NOWHERE = "no reading: the curve does not take this value on its branch through the range"


class CalibrationModel(PythonModel):
    """A function and its inverse, with their uncertainty, and a word on how far they hold."""

    def __init__(self, function: Function) -> None:
        self.function = function

    def load_context(self, context: PythonModelContext) -> None:
        """Take what the model knows from its config."""
        config = context.model_config
        self.curve = Curve.of(self.function, config)
        self.input: str = config["input"]
        self.target: str = config["target"]
        self.uncertainty: dict[str, Any] | None = config.get("uncertainty")

    def predict(
        self,
        context: PythonModelContext | None,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """A frame with the one column gives the other, and what is known of each answer (N,).

        uncertainty   standard uncertainty, in the answer's unit
        lower, upper  the ends of its interval
        in_range      is the reading within the calibrated range?
        remark        why there is no interval, or no reading

        A frame with both is checked: `predicted` from each reading, and `deviation`, given less predicted.
        `params` are those of `band.Wanted`. What is not there is None: all of a row without a number; a
        value without a finite counterpart, such as a temperature beyond a parabola's vertex. Raises
        MlflowException (HTTP 400) for neither column, for what is neither empty nor a finite number, and for
        wrong params.
        """
        del context
        try:
            asked = wanted({key: value for key, value in (params or {}).items() if value is not None})
        except ValueError as error:
            raise mlflow.MlflowException.invalid_parameter_value(str(error)) from error
        model_input = _frame(model_input)
        names = self._given(model_input)
        numbers = {name: _numbers(model_input[name]) for name in names}
        values = numbers[names[0]]
        is_there = ~np.isnan(values)
        with np.errstate(all="ignore"):  # what is not finite becomes None
            answers = self._found(names[0], values[is_there], asked)
        self._warn(names[0], answers, is_there)
        answers = answers.set_axis(np.flatnonzero(is_there)).reindex(np.arange(len(values)))
        if len(names) == 2:
            answers = self._checked(answers, numbers[self.target])
        return _without_nan(answers).set_axis(model_input.index)

    def _given(self, frame: pd.DataFrame) -> list[str]:
        """The columns that are there; of both, one without a single value is not."""
        names = [name for name in (self.input, self.target) if name in frame]
        if len(names) == 2:
            names = [name for name in names if frame[name].notna().any()]
        if names:
            return names
        raise mlflow.MlflowException.invalid_parameter_value(
            f"neither of the columns {self.input} and {self.target} given: "
            "give one, and the other is found, or both, and they are checked"
        )

    def _found(self, given: str, values: Floats, asked: Wanted) -> pd.DataFrame:
        """Of numbers (N,) alone; what is not there is not a number, and a remark is None."""
        known = band(self.curve, self.uncertainty, asked) if self.uncertainty else None
        if given == self.target:
            return self._inverse(values, known)
        found = self.curve.values(values)
        answers = _answers(self.target, found, self.curve.is_calibrated(values))
        if known is None:
            return answers
        is_unknown = np.isnan(known.variance)
        is_open = np.isfinite(found) & (is_unknown | ~self.curve.is_calibrated(values, FAR))
        remarks = answers["remark"].to_numpy(copy=True)
        remarks[is_open] = UNKNOWN if is_unknown else BEYOND
        ends = found - known.reach(values), found + known.reach(values)
        return _with_interval(answers, known.uncertainties(values), ends, remarks)

    def _inverse(self, values: Floats, known: Band | None) -> pd.DataFrame:
        found, several = self.curve.inverse(values)
        answers = _answers(self.input, found, self.curve.is_calibrated(found, ROUND_TRIP))
        remarks = answers["remark"].to_numpy(copy=True)
        remarks[np.isfinite(values) & ~np.isfinite(found)] = NOWHERE
        for place, readings in several.items():
            remark = NONE_GIVEN if np.isnan(found[place]) else NEAREST_GIVEN
            remarks[place] = remark.format(_listed(readings))
        if known is None:
            return answers.assign(remark=remarks)
        ends = known.inverted(values, found)
        is_open = np.isfinite(found) & np.isnan(ends[0] + ends[1]) & pd.isna(remarks)
        remarks[is_open] = known.why_open(found[is_open], ends[0][is_open], ends[1][is_open])
        uncertainty = known.uncertainties(found) / abs(self.curve.slopes(found))
        return _with_interval(answers, uncertainty, ends, remarks)

    def _checked(self, answers: pd.DataFrame, given: Floats) -> pd.DataFrame:
        """The same with the deviation of the given true values (N,)."""
        checked = answers.rename(columns={self.target: "predicted"})
        deviation = given - checked["predicted"].to_numpy(dtype=float)
        checked.insert(list(checked).index("in_range"), "deviation", deviation)
        return checked

    def _warn(self, given: str, answers: pd.DataFrame, is_there: Truths) -> None:
        """Count what is not as usual, in a line each."""
        count = len(answers)
        other = self.input if given == self.target else self.target
        is_missing = answers[other].isna()
        is_several = is_missing & answers["remark"].notna() & (answers["remark"] != NOWHERE)
        extrapolated = ~is_missing & ~answers["in_range"]
        counts: dict[str, pd.Series[bool] | Truths] = {
            f"of {count} readings are outside the calibrated range, "
            f"{self.curve.low:.15g} to {self.curve.high:.15g}: extrapolated": extrapolated,
            f"of {count} values of {given} have no {other}": is_missing & ~is_several,
            f"of {count} values of {given} have several {other} within the calibrated range": is_several,
            f"of {len(is_there)} rows have no {given}, and no answer": ~is_there,
        }
        for text, rows in counts.items():
            if rows.any():
                warnings.warn(f"{rows.sum()} {text}", stacklevel=3)


def _answers(name: str, found: Floats, in_range: Truths) -> pd.DataFrame:
    """The answers (N,) without an interval."""
    is_found = np.isfinite(found)
    blank = dict.fromkeys(["uncertainty", "lower", "upper"], np.nan)
    columns = {name: np.where(is_found, found, np.nan), **blank, "in_range": is_found & in_range}
    return pd.DataFrame({**columns, "remark": pd.Series([None] * len(found), dtype=object)})


def _with_interval(
    answers: pd.DataFrame, uncertainty: Floats, ends: tuple[Floats, Floats], remarks: Remarks
) -> pd.DataFrame:
    """The answers with an uncertainty and an interval, which are there together, or not at all."""
    is_known = answers.iloc[:, 0].notna() & np.isfinite(uncertainty + ends[0] + ends[1]) & pd.isna(remarks)
    numbers = {"uncertainty": uncertainty, "lower": ends[0], "upper": ends[1]}
    columns = {name: np.where(is_known, each, np.nan) for name, each in numbers.items()}
    return answers.assign(remark=remarks, **columns)


def _without_nan(frame: pd.DataFrame) -> pd.DataFrame:
    """With None for what is not there, for JSON has no NaN."""
    return pd.DataFrame(
        {
            name: column.astype(object).where(column.notna(), None) if column.isna().any() else column
            for name, column in frame.items()
        }
    )


def _listed(readings: Floats) -> str:
    """Readings (P,), to as many digits as tell them apart."""
    named = [f"{each:.6g}" for each in readings[:MOST_NAMED]]
    more = [f"{len(readings) - MOST_NAMED} more"] if len(readings) > MOST_NAMED else []
    *most, last = [*named, *more]
    return f"{', '.join(most)} and {last} are {'all' if most[1:] else 'both'}"


def _frame(given: Any) -> pd.DataFrame:
    """A server hands over JSON's `inputs` as they are: columns by name, or rows."""
    if isinstance(given, pd.DataFrame):
        return given
    try:
        table = pd.DataFrame(given if isinstance(given, dict) else list(given))
        return table.map(lambda cell: cell[()] if isinstance(cell, np.ndarray) and not cell.ndim else cell)
    except (TypeError, ValueError) as error:
        raise mlflow.MlflowException.invalid_parameter_value(f"no table of columns: {error}") from error


def _numbers(column: "pd.Series[Any]") -> Floats:
    """The column (N,) as finite floats; what is empty is not a number."""
    is_truth = column.map(lambda value: isinstance(value, bool | np.bool_)).to_numpy(dtype=bool)
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    bad = np.flatnonzero(column.notna() & (is_truth | ~np.isfinite(values)))
    if len(bad):
        named = ", ".join(f"{column.iloc[row]} in row {row + 1}" for row in bad[:MOST_NAMED])
        more = f" and {len(bad) - MOST_NAMED} more" if len(bad) > MOST_NAMED else ""
        raise mlflow.MlflowException.invalid_parameter_value(
            f"column {column.name}: {named}{more}, where finite numbers are needed"
        )
    return values
