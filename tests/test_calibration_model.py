"""A calibration at work: the arithmetic both ways, and what of it holds."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModelContext
from torch import Tensor

from src.elementary import exp, log, sqrt
from src.tracking.calibration_model import CalibrationModel

RANGE = (21.8, 81.9)  # the chapter's least and largest reading
LINE = (0.53671, -17.3012)  # the chapter's calibration
PARABOLA = (1.0, -100.0, 0.0)  # its vertex, (50, -2500), lies within the range
KNOWN = ["uncertainty", "lower", "upper", "in_range", "remark"]  # of an answer


def exponential(t_u: Tensor, a: Tensor, k: Tensor, b: Tensor) -> Tensor:
    """A thermistor's divider, roughly: `a * exp(k * t_u) + b`."""
    return a * exp(k * t_u) + b


def power(t_u: Tensor, a: Tensor, p: Tensor, b: Tensor) -> Tensor:
    return a * t_u**p + b


def steinhart_hart(r: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """A thermistor's temperature in °C from its resistance in ohm."""
    ln_r = log(r)
    return 1 / (a + b * ln_r + c * ln_r**3) - 273.15


def bell(t_u: Tensor, height: Tensor, centre: Tensor, width: Tensor) -> Tensor:
    return height * exp(-(((t_u - centre) / width) ** 2))


def root(t_u: Tensor, start: Tensor) -> Tensor:
    return sqrt(t_u - start)


def pole(t_u: Tensor, at: Tensor) -> Tensor:
    return 1 / (t_u - at)


def coefficients(t_u: Any, *params: Any) -> Any:
    return np.polyval(params, t_u)


def loaded(
    *params: float,
    function: Callable[..., Any] = coefficients,
    input_range: tuple[float, float] = RANGE,
    shift: float = 0.0,
    scale: float = 1.0,
) -> CalibrationModel:
    calibration = CalibrationModel(function)
    config = {
        "params": list(params), "shift": shift, "scale": scale, "polynomial": function is coefficients,
        "input": "t_u", "target": "t_c", "input_range": list(input_range),
    }  # fmt: skip
    calibration.load_context(PythonModelContext({}, config))
    return calibration


def predicted(calibration: CalibrationModel, column: str, *values: object) -> pd.DataFrame:
    return calibration.predict(None, pd.DataFrame({column: list(values)}))


def quietly(calibration: CalibrationModel, column: str, *values: object) -> list[Any]:
    """The other column; warnings are errors, so they are let pass here."""
    with warnings.catch_warnings(action="ignore"):
        return list(predicted(calibration, column, *values).iloc[:, 0])


def test_a_line_both_ways() -> None:
    line = loaded(*LINE)
    there = predicted(line, "t_u", 35.7, 58.2)
    assert list(there.columns) == ["t_c", *KNOWN]
    assert list(there["t_c"]) == pytest.approx([0.53671 * 35.7 - 17.3012, 0.53671 * 58.2 - 17.3012])
    back = predicted(line, "t_c", *there["t_c"])
    assert list(back.columns) == ["t_u", *KNOWN]
    assert list(back["t_u"]) == pytest.approx([35.7, 58.2])


@given(
    slope=st.floats(0.01, 100).flatmap(lambda size: st.sampled_from([size, -size])),
    constant=st.floats(-1e3, 1e3),
    reading=st.floats(*RANGE),
)
def test_the_way_back_leads_to_the_reading(slope: float, constant: float, reading: float) -> None:
    line = loaded(slope, constant)
    [true_value] = quietly(line, "t_u", reading)
    back = predicted(line, "t_c", true_value)
    assert back["t_u"][0] == pytest.approx(reading, rel=1e-9)
    assert back["in_range"].all(), "a reading within the range leads back into it"


@given(curvature=st.floats(1e-6, 1), bend=st.floats(-1e3, 21), reading=st.floats(*RANGE))
def test_the_way_back_on_a_parabola_that_rises_over_the_range(
    curvature: float, bend: float, reading: float
) -> None:
    """Its vertex lies at `bend`, left of the range, and so does the other solution."""
    parabola = loaded(curvature, -2 * curvature * bend, 3.0)
    [true_value] = quietly(parabola, "t_u", reading)
    assert quietly(parabola, "t_c", true_value)[0] == pytest.approx(reading, rel=1e-4)


@pytest.mark.parametrize(
    ("true_value", "reading"),
    [
        (PARABOLA[0] * 81**2 - 100 * 81, 81),  # 19 leads there too, and is outside the range
        (PARABOLA[0] * 18**2 - 100 * 18, 82),  # both are outside, and 82 is nearer than 18
        (-2500, 50),  # the vertex
    ],
)
def test_the_nearest_of_two_readings(true_value: float, reading: float) -> None:
    """In the range if only one is, and else the nearest to it."""
    assert quietly(loaded(*PARABOLA), "t_c", true_value) == pytest.approx([reading])


def test_two_readings_in_range() -> None:
    """40 is as right as 60: none is given, and both are named."""
    with pytest.warns(
        UserWarning, match="^1 of 2 values of t_c have several t_u within the calibrated range$"
    ):
        answer = predicted(loaded(*PARABOLA), "t_c", 60**2 - 100 * 60, 81**2 - 100 * 81)
    assert list(answer["t_u"]) == [None, pytest.approx(81)]
    assert list(answer["in_range"]) == [False, True]
    assert list(answer["remark"]) == ["no reading: 40 and 60 are both within the range", None]


def test_two_readings_out_of_range() -> None:
    """18 is as right as 82, by symmetry: the nearer is given, without an interval, and both are named."""
    parabola = loaded(*PARABOLA)
    parabola.uncertainty = {
        "factor": [[0.0, 0, 0], [0, 0, 0], [0, 0, 1]], "shift": 0.0, "scale": 1.0,
        "scatter": 1.0, "unit": 1.0, "common": 0.0, "df": None,
    }  # fmt: skip
    with pytest.warns(UserWarning, match="^1 of 2 readings are outside"):
        answer = predicted(parabola, "t_c", 82**2 - 100 * 82, 81**2 - 100 * 81)
    assert list(answer["t_u"]) == pytest.approx([82, 81])
    assert list(answer["remark"]) == ["no interval: 18 and 82 are both possible, outside the range", None]
    assert list(answer["upper"].isna()) == [True, False]


def test_a_mirrored_reading_far_away() -> None:
    """About a vertex at 30, -62 mirrors 122: it is more than a span, 60.1, below the range, and no rival."""
    with pytest.warns(UserWarning, match="extrapolated"):
        answer = predicted(loaded(1.0, -60.0, 0.0), "t_c", 122**2 - 60 * 122)
    assert list(answer["t_u"]) == pytest.approx([122])
    assert list(answer["remark"]) == [None]


def test_the_vertex_is_reached_in_spite_of_rounding() -> None:
    for params in [(0.1, -10.3, 7.7), (0.3, 0.0, 0.1), (-1 / 3, 33.3, 1e4)]:
        vertex = -params[1] / (2 * params[0])
        top = np.polyval(params, vertex)
        beyond = np.nextafter(top, -math.copysign(math.inf, params[0]))
        assert quietly(loaded(*params), "t_c", top, beyond) == pytest.approx([vertex] * 2, abs=1e-5)


@pytest.mark.parametrize(
    ("params", "true_value"),
    [
        (PARABOLA, -2501.0),  # beyond the vertex
        ((0.0, 3.0), 3.0),  # slope zero: any reading would do
        ((0.0, 3.0), 4.0),
        ((0.0, 0.0, 3.0), 3.0),
        ((0.0, 0.0, 3.0), 4.0),
    ],
)
def test_where_no_reading_leads_the_answer_is_none_and_not_in_range(
    params: tuple[float, ...], true_value: float
) -> None:
    with pytest.warns(UserWarning, match="^1 of 1 values of t_c have no t_u$"):
        answer = predicted(loaded(*params), "t_c", true_value)
    assert answer["t_u"][0] is None
    assert not answer["in_range"][0]


@pytest.mark.parametrize("slope", [1.0, -1.0])
def test_a_parabola_that_is_nearly_a_line_loses_no_digits(slope: float) -> None:
    """The schoolbook formula subtracts nearly equal numbers here."""
    parabola = loaded(1e-12, slope, 100.0)
    assert quietly(parabola, "t_c", *quietly(parabola, "t_u", 50.0)) == pytest.approx([50.0], rel=1e-12)


def test_a_parabola_without_curvature_is_a_line() -> None:
    assert quietly(loaded(0.0, *LINE), "t_c", 14.0) == pytest.approx(quietly(loaded(*LINE), "t_c", 14.0))


def test_beyond_arithmetic_is_none() -> None:
    with pytest.warns(UserWarning, match="1 of 1 values of t_u have no t_c"):
        answer = predicted(loaded(*PARABOLA), "t_u", 1e200)
    assert answer["t_c"][0] is None


def test_the_ends_of_the_range_are_within() -> None:
    line = loaded(*LINE)
    below, above = math.nextafter(21.8, 0), math.nextafter(81.9, 100)
    with pytest.warns(UserWarning, match="2 of 4"):
        answer = predicted(line, "t_u", below, 21.8, 81.9, above)
    assert list(answer["in_range"]) == [False, True, True, False]
    # rounded as `src.predict` prints them
    back = predicted(line, "t_c", *(float(f"{value:.10g}") for value in answer["t_c"][1:3]))
    assert back["in_range"].all()


@pytest.mark.parametrize(("column", "values"), [("t_u", (0, 50, 100)), ("t_c", (-30, 0, 50))])
def test_extrapolation_is_told_once(column: str, values: tuple[float, ...]) -> None:
    with pytest.warns(UserWarning, match="extrapolated") as caught:
        answer = predicted(loaded(*LINE), column, *values)
    assert [str(warning.message) for warning in caught] == [
        "2 of 3 readings are outside the calibrated range, 21.8 to 81.9: extrapolated"
    ]
    assert list(answer["in_range"]) == [False, True, False]


def test_no_rows_give_no_rows() -> None:
    for column in ("t_u", "t_c"):
        assert len(predicted(loaded(*LINE), column)) == 0


def test_rows_keep_their_labels() -> None:
    frame = pd.DataFrame({"t_u": [30.0, 40.0]}, index=["a", "b"])
    assert list(loaded(*LINE).predict(None, frame).index) == ["a", "b"]


def test_a_column_without_a_value_counts_as_not_given() -> None:
    frame = pd.DataFrame({"t_u": [30.0], "t_c": [None]})
    assert list(loaded(*LINE).predict(None, frame).columns) == ["t_c", *KNOWN]


OHMS = (1e3, 1e5)
OF_10_KOHM = (
    1.129148e-3,
    2.34125e-4,
    8.76741e-8,
)  # a, b, c of the usual 10 kΩ thermistor
FUNCTIONS = {
    "exponential": loaded(2.0, 0.03, -7.0, function=exponential),
    "normalized": loaded(20.0, 0.9, -7.0, function=exponential, shift=50.0, scale=1 / 17),
    "falling": loaded(20.0, -0.9, 7.0, function=exponential, shift=50.0, scale=1 / 17),
    "power": loaded(0.3, 1.4, 2.0, function=power),
    "steinhart": loaded(*OF_10_KOHM, function=steinhart_hart, input_range=OHMS),
    "line on normalized input": loaded(9.0, 11.0, shift=50.0, scale=0.06),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_any_function_there_and_back(name: str) -> None:
    """To the last digits, within the range and half its span beyond, on either side where there is one."""
    calibration = FUNCTIONS[name]
    low, high = calibration.curve.low, calibration.curve.high
    readings = np.linspace(max(low - (high - low) / 2, low / 10), high + (high - low) / 2, 1001)
    back = quietly(calibration, "t_c", *quietly(calibration, "t_u", *readings))
    assert back == pytest.approx(readings, rel=1e-12)


def test_a_thermistor_reads_25_degrees_at_10_kohm() -> None:
    """Its data sheet's R25; the coefficients are good to a few thousandths of a degree."""
    assert quietly(FUNCTIONS["steinhart"], "t_u", 10_000.0) == pytest.approx([25.0], abs=0.01)


def test_normalized_parameters_are_of_the_normalized_reading() -> None:
    [found] = quietly(FUNCTIONS["normalized"], "t_u", 67.0)
    assert found == pytest.approx(20 * math.exp(0.9) - 7, rel=1e-12)


@pytest.mark.parametrize("true_value", [10.001, -1.0])
def test_a_function_that_rises_and_falls_has_no_reading_beyond(true_value: float) -> None:
    """A bell of height 10 over the middle of the range."""
    with pytest.warns(UserWarning, match="^1 of 1 values of t_c have no t_u$"):
        answer = predicted(loaded(10.0, 50.0, 20.0, function=bell), "t_c", true_value)
    assert answer["t_u"][0] is None
    assert not answer["in_range"][0]


@pytest.mark.parametrize("reading", [50.0, 50.001, 49.99, 75.0, 81.9, 120.0])
def test_a_value_that_a_function_has_is_found_even_at_its_turn(reading: float) -> None:
    bump = loaded(10.0, 50.0, 20.0, function=bell, input_range=(50.0, 120.0))
    true_values = quietly(bump, "t_u", reading)
    [back] = quietly(bump, "t_c", *true_values)
    assert quietly(bump, "t_u", back) == pytest.approx(true_values, rel=1e-14)


def test_a_function_without_a_slope_has_no_reading() -> None:
    """Any would do, as for a line with slope 0."""
    assert quietly(loaded(3.0, 0.0, -1.0, function=exponential), "t_c", 2.0) == [None]


def test_a_turn_is_reached_in_spite_of_rounding() -> None:
    beyond = np.nextafter(10.0, 11.0)
    found = quietly(loaded(10.0, 50.0, 20.0, function=bell), "t_c", 10.0, beyond)
    assert found == pytest.approx([50.0, 50.0], abs=1e-5)


def test_two_readings_of_a_function() -> None:
    """52 - 2 mirrors 52 + 2, and 82 mirrors 22, which alone is in the range."""
    bump = loaded(10.0, 52.0, 20.0, function=bell)
    true_values = quietly(bump, "t_u", 50.0, 54.0, 82.0)
    with warnings.catch_warnings(action="ignore"):
        answer = predicted(bump, "t_c", *true_values)
    assert list(answer["t_u"]) == [None, None, pytest.approx(22.0)]
    assert list(answer["remark"]) == ["no reading: 50 and 54 are both within the range"] * 2 + [None]


def test_another_branch_is_no_calibration() -> None:
    """A cubic that rises from 0 to 2, falls to 4 and rises: 16 is met beyond 4 alone."""
    cubic = loaded(1 / 3, -3.0, 8.0, 0.0, input_range=(0.0, 1.0))
    assert quietly(cubic, "t_c", 6.6, 16.0) == pytest.approx([quietly(cubic, "t_c", 6.6)[0], None])
    assert quietly(cubic, "t_c", 6.6)[0] < 2


def test_a_search_agrees_with_the_roots() -> None:
    true_values = np.linspace(-2600, 3000, 57)
    searched = loaded(*PARABOLA, function=lambda t_u, *params: coefficients(t_u, *params))
    exact = quietly(loaded(*PARABOLA), "t_c", *true_values)
    assert None in exact
    found = quietly(searched, "t_c", *true_values)
    assert [each is None for each in found] == [each is None for each in exact]
    numbers = [(a, b) for a, b in zip(found, exact, strict=True) if a is not None and a != exact[1]]
    assert [a for a, _ in numbers] == pytest.approx([b for _, b in numbers], rel=1e-7)


@pytest.mark.parametrize("reading", [30.0, 30.0 + 1e-9, 30.001, 81.0, 1e4])
def test_where_a_function_begins_its_readings_are_found(reading: float) -> None:
    """A square root has no value below 30, within the range; there it is steepest."""
    edge = loaded(30.0, function=root)
    assert quietly(edge, "t_c", *quietly(edge, "t_u", reading)) == pytest.approx([reading], rel=1e-12)


def test_a_pole_is_no_reading() -> None:
    """1 / (t_u - 60) jumps from minus to plus infinity, and is never 0; 61 and 55 are proper readings."""
    with pytest.warns(UserWarning, match="^1 of 3 values of t_c have no t_u$"):
        answer = predicted(loaded(60.0, function=pole), "t_c", 0.0, 1.0, -0.2)
    assert list(answer["t_u"]) == pytest.approx([None, 61.0, 55.0])


def test_a_function_of_none_is_asked_of_none() -> None:
    assert len(predicted(FUNCTIONS["exponential"], "t_c")) == 0


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({"x": [1.0]}, "neither of the columns t_u and t_c given"),
        ({}, "neither"),
        ({"t_u": [None], "t_c": [None]}, "neither"),
        ({"t_u": ["1", "nan"]}, "column t_u: nan in row 2"),
        ({"t_u": [1.0], "t_c": ["cold"]}, "column t_c: cold in row 1"),
        ({"t_u": [math.inf, 1.0, -math.inf]}, "inf in row 1, -inf in row 3"),
        ({"t_c": ["cold"]}, "column t_c: cold in row 1"),
        ({"t_u": ["?"] * 12}, "row 10 and 2 more"),
        ({"t_u": [True, False]}, "column t_u: True in row 1, False in row 2"),
    ],
)
def test_what_cannot_be_predicted_from_is_the_callers_mistake(frame: dict[str, Any], words: str) -> None:
    with pytest.raises(MlflowException, match=words) as caught:
        loaded(*LINE).predict(None, pd.DataFrame(frame))
    assert caught.value.get_http_status_code() == 400
