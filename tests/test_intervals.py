"""Intervals of predictions, both ways: against independent values, and where there is none."""

import json
import math
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModelContext

from src.models import MODELS
from src.tracking.calibration_model import CalibrationModel
from src.tracking.curve import Function

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "oracles" / "intervals.json").read_text(encoding="utf-8")
)["cases"]
CURVE = {"curve": True}
INTERVALS: dict[str, dict[str, Any]] = {
    "interval_95 (m = 1)": {},
    "interval_95 (m = 3)": {"replicates": 3},
    "interval_95 (m = inf)": CURVE,
}

Floats = npt.NDArray[np.float64]

T_U = np.array([35.7, 55.9, 58.2, 81.9, 56.3, 48.9, 33.9, 21.8, 48.4, 60.4, 68.4])  # the chapter's
T_C = np.array([0.5, 14.0, 15.0, 28.0, 11.0, 8.0, 3.0, -4.0, 6.0, 13.0, 21.0])


def fitted(t_u: Floats, t_c: Floats, degree: int) -> tuple[Floats, dict[str, Any]]:
    """The polynomial of least squares, and its uncertainty as it is on record; by numpy alone."""
    middle = t_u.mean()
    powers = np.vander(t_u - middle, degree + 1)
    coefficients = np.linalg.lstsq(powers, t_c)[0]
    df = len(t_u) - degree - 1
    variance = ((t_c - powers @ coefficients) ** 2).sum() / df
    factor = np.linalg.cholesky(variance * np.linalg.inv(powers.T @ powers))
    return coefficients, {
        "shift": middle, "scale": 1.0, "factor": factor.tolist(), "df": df,
        "scatter": variance**0.5, "unit": 1.0, "common": 0.0,
    }  # fmt: skip


def polynomial(t_u: Floats, *params: float) -> Floats:
    return np.polyval(params, t_u)


def calibration(
    params: Floats,
    uncertainty: dict[str, Any] | None,
    input_range: tuple[float, float],
    function: Function = polynomial,
    shift: float = 0.0,
) -> CalibrationModel:
    found = CalibrationModel(function)
    config = {
        "params": list(params), "shift": shift, "scale": 1.0, "polynomial": function is polynomial,
        "input": "t_u", "target": "t_c", "input_range": input_range, "uncertainty": uncertainty,
    }  # fmt: skip
    found.load_context(PythonModelContext({}, config))
    return found


def of_chapter(degree: int = 1, **changes: Any) -> CalibrationModel:
    """The chapter's readings and their line, or another polynomial."""
    params, uncertainty = fitted(T_U, T_C, degree)
    return calibration(params, uncertainty | changes, (21.8, 81.9), shift=uncertainty["shift"])


def asked(model: CalibrationModel, column: str, *values: float | None, **params: Any) -> pd.DataFrame:
    with warnings.catch_warnings(action="ignore"):  # of what is beyond the range
        return model.predict(None, pd.DataFrame({column: list(values)}), params)


def shifted(covariance: list[list[str]], shift: float) -> Floats:
    """Of a polynomial's coefficients, the highest power first, to those about `reading - shift`; exactly."""
    k = len(covariance)
    change = np.full((k, k), Fraction(0))
    for power in range(k):
        for lower in range(power + 1):
            change[k - 1 - lower, k - 1 - power] = math.comb(power, lower) * Fraction(shift) ** (
                power - lower
            )
    exact = np.array([[Fraction(each) for each in row] for row in covariance])
    return np.asarray(change @ exact @ change.T, dtype=float)


def of_case(case: dict[str, Any]) -> CalibrationModel:
    """As a run puts it on record: a polynomial's uncertainty is about the middle of its range."""
    low, high = (float(end) for end in case["range"])
    function, shift = MODELS.get(case["model"], polynomial), 0.0
    covariance = np.array(case["covariance"], dtype=float)
    if function is polynomial:
        shift = (low + high) / 2
        covariance = shifted(case["covariance"], shift)
    sizes = np.sqrt(np.diag(covariance))
    factor = sizes[:, None] * np.linalg.cholesky(covariance / np.outer(sizes, sizes))
    unit = float(case.get("birge_ratio", 1))
    uncertainty = {
        "shift": shift, "scale": 1.0, "factor": factor.tolist(), "df": case["df"],
        "scatter": float(case["scatter"]) * unit, "unit": unit, "common": 0.0,
    }  # fmt: skip
    return calibration(np.array(case["params"], dtype=float), uncertainty, (low, high), function)


def assert_close(found: list[Any], expected: list[list[str]]) -> None:
    """To 1e-8 of the largest of each column, (N, columns)."""
    numbers = np.array(expected, dtype=float)
    assert (abs(np.array(found, dtype=float) - numbers) <= 1e-8 * abs(numbers).max(axis=0)).all()


def id_of(case: dict[str, Any]) -> str:
    return str(case["name"])


@pytest.mark.parametrize("case", [case for case in CASES if case["predictions"]], ids=id_of)
@pytest.mark.parametrize(("name", "params"), [("mean", CURVE), ("new", {})])
def test_intervals_of_values(case: dict[str, Any], name: str, params: dict[str, Any]) -> None:
    """Of the curve and of a new reading, within the range and beyond; by mpmath."""
    told = case["predictions"]
    found = asked(of_case(case), "t_u", *(float(each["at"]) for each in told), **params)
    expected = [[each["value"], each[f"se_{name}"], *each[f"interval_{name}_95"]] for each in told]
    assert_close(found[["t_c", "uncertainty", "lower", "upper"]].values.tolist(), expected)
    assert set(found["remark"]) == {None}


def of_readings() -> Iterator[Any]:
    """The inverse cases, and which interval each has."""
    for case in CASES:
        for name in (name for name in INTERVALS if name in case["inverses"][0]):
            yield pytest.param(case, name, id=f"{case['name']}, {name}")


@pytest.mark.parametrize(("case", "name"), list(of_readings()))
def test_intervals_of_readings(case: dict[str, Any], name: str) -> None:
    """Fieller's for a line, else the inverted band: of one reading, a mean, the curve; by mpmath."""
    told = case["inverses"]
    found = asked(of_case(case), "t_c", *(float(each["true value"]) for each in told), **INTERVALS[name])
    expected = [[each["reading"], *each[name]] for each in told]
    assert_close(found[["t_u", "lower", "upper"]].values.tolist(), expected)
    assert set(found["remark"]) == {None}


def test_a_readings_uncertainty() -> None:
    """That of the value, over the slope of the chapter's line."""
    line, [slope, _] = of_chapter(), fitted(T_U, T_C, 1)[0]
    [back] = asked(line, "t_c", 10.0).to_dict("records")
    [there] = asked(line, "t_u", back["t_u"]).to_dict("records")
    assert back["uncertainty"] == pytest.approx(there["uncertainty"] / slope, rel=1e-9)


def test_a_coverage_of_one_sd() -> None:
    """Under a known sigma 68.27 % of a normal distribution are within one standard uncertainty."""
    known = of_chapter(df=None)
    found = asked(known, "t_u", 50.0, coverage=0.6826894921370859).iloc[0]
    assert found["upper"] - found["t_c"] == pytest.approx(found["uncertainty"], rel=1e-12)
    assert found["t_c"] - found["lower"] == pytest.approx(found["uncertainty"], rel=1e-12)


def test_a_given_sigma() -> None:
    """It stands for the scatter, times the Birge ratio where only ratios count; m readings share it."""
    curve = asked(of_chapter(), "t_u", 50.0, curve=True)["uncertainty"][0]
    found = asked(of_chapter(unit=3.0), "t_u", 50.0, sigma=0.5, replicates=4)["uncertainty"][0]
    assert found == pytest.approx(math.hypot(curve, 3.0 * 0.5 / 2), rel=1e-12)


def test_a_common_uncertainty() -> None:
    """It is in every value, in that of the curve and in the mean of a million readings too."""
    for params in ({"curve": True}, {"replicates": 10**6}, {}):
        without = asked(of_chapter(), "t_u", 50.0, **params)["uncertainty"][0]
        found = asked(of_chapter(common=2.0), "t_u", 50.0, **params)["uncertainty"][0]
        assert found == pytest.approx(math.hypot(without, 2.0), rel=1e-12)


@pytest.mark.slow
@given(
    offset=st.sampled_from([0.0, 1e3, 1e6]),
    degree=st.sampled_from([1, 2]),
    seed=st.integers(0, 2**32 - 1),
)
def test_fieller_and_the_band_at_any_offset(offset: float, degree: int, seed: int) -> None:
    """What is found is on the band's edge, and nothing between is beyond it; by a scan of 10,001 readings."""
    random = np.random.default_rng(seed)
    t_u = offset + np.sort(random.uniform(0, 10, 12))
    t_c = 3 * (t_u - offset) + 0.1 * (t_u - offset) ** 2 + random.normal(0, 0.5, 12)
    params, uncertainty = fitted(t_u, t_c, degree)
    model = calibration(params, uncertainty, (t_u.min(), t_u.max()), shift=uncertainty["shift"])
    [found] = asked(model, "t_c", 20.0).to_dict("records")
    edges = asked(model, "t_u", found["lower"], found["t_u"], found["upper"])
    assert edges["upper"][0] == pytest.approx(20.0, rel=1e-8)
    assert edges["t_c"][1] == pytest.approx(20.0, rel=1e-8)
    assert edges["lower"][2] == pytest.approx(20.0, rel=1e-8)
    between = asked(model, "t_u", *np.linspace(found["lower"], found["upper"], 10_001)[1:-1])
    assert ((between["lower"] < 20.0) & (between["upper"] > 20.0)).all()


def test_an_open_interval_of_a_line() -> None:
    """A slope of 1 with a standard error of 0.5 is significant at 80 %, and not at 95 %, where t is 2.23."""
    line = calibration(
        np.array([1.0, 0.0]),
        {"shift": 5.0, "scale": 1.0, "factor": [[0.5, 0.0], [0.0, 0.1]], "df": 10, "scatter": 0.1,
         "unit": 1.0, "common": 0.0},
        (0.0, 10.0),
    )  # fmt: skip
    [found] = asked(line, "t_c", 5.0).to_dict("records")
    assert found["t_u"] == 5.0
    assert found["remark"] == "no interval: the slope is not significant at this coverage"
    assert [found[name] for name in ("uncertainty", "lower", "upper")] == [None, None, None]
    assert asked(line, "t_c", 5.0, coverage=0.8)["remark"][0] is None


def test_an_interval_that_reaches_too_far() -> None:
    """The same, just significant at 92 %: the interval would end many spans away."""
    line = calibration(
        np.array([1.0, 0.0]),
        {"shift": 5.0, "scale": 1.0, "factor": [[0.5, 0.0], [0.0, 0.1]], "df": 10, "scatter": 3.0,
         "unit": 1.0, "common": 0.0},
        (0.0, 10.0),
    )  # fmt: skip
    remark = asked(line, "t_c", 5.0, coverage=0.92)["remark"][0]
    assert remark == "no interval: it would reach more than one span beyond the calibrated range"


def test_the_first_crossing_counts() -> None:
    """A straight parabola of uncertain curvature: the band that is left is met again further out.

    At a distance d from the middle, d² = q² ((0.128 d²)² + 0.1²), a quadratic equation in d².
    """
    model = calibration(
        np.array([0.0, 1.0, 0.0]),
        {"shift": 5.0, "scale": 1.0, "factor": [[0.128, 0, 0], [0, 0, 0], [0, 0, 0]], "df": None,
         "scatter": 0.1, "unit": 1.0, "common": 0.0},
        (0.0, 10.0),
    )  # fmt: skip
    q = 1.959963984540054
    squares = np.roots([0.128**2, -1 / q**2, 0.1**2])
    near, far = np.sqrt(np.sort(squares))
    assert far == pytest.approx(3.98, abs=0.01), "within a span"
    [found] = asked(model, "t_c", 5.0).to_dict("records")
    assert [found["lower"], found["upper"]] == pytest.approx([5 - near, 5 + near], rel=1e-9)


def parabola(scatter: float, input_range: tuple[float, float]) -> CalibrationModel:
    """`(t_u - 4)**2` with a known scatter, and next to no other uncertainty."""
    uncertainty = {
        "shift": 0.0, "scale": 1.0, "factor": (1e-9 * np.eye(3)).tolist(), "df": None, "scatter": scatter,
        "unit": 1.0, "common": 0.0,
    }  # fmt: skip
    return calibration(np.array([1.0, -8.0, 16.0]), uncertainty, input_range)


def test_at_a_vertex_no_interval() -> None:
    """3 away from it a value is 9, and 1.96 sigma below is on the curve only if sigma is under 4.6."""
    near = asked(parabola(4.7, (4.5, 10.0)), "t_c", 9.0)
    assert near["t_u"][0] == pytest.approx(7.0)
    assert near["remark"][0] == "no interval: it would reach beyond 4, where the curve turns or ends"
    there = asked(parabola(4.5, (4.5, 10.0)), "t_c", 9.0)
    assert there["lower"][0] == pytest.approx(4 + (9 - 1.959963984540054 * 4.5) ** 0.5, rel=1e-6)


def test_as_right_as_the_other() -> None:
    """A parabola that turns at 4 has 9 at 1 and at 7: which is the reading, nobody can say."""
    found = asked(parabola(0.1, (0.0, 10.0)), "t_c", 9.0, 25.0)
    assert found["remark"][0] == "no reading: 1 and 7 are both within the range"
    assert found["t_u"][0] is None
    assert found["t_u"][1] == pytest.approx(9.0), "-1 is not within the range"


@pytest.mark.parametrize(("column", "near", "far"), [("t_u", 142.0, 142.1), ("t_c", 58.9, 59.0)])
def test_far_beyond_the_range(column: str, near: float, far: float) -> None:
    """The chapter's range is 60.1 wide and ends at 81.9: up to 142 the curve itself has an interval."""
    found = asked(of_chapter(scatter=1e-9, factor=[[1e-9, 0], [0, 1e-9]]), column, near, far)
    assert found["lower"].notna().tolist() == [True, False]
    assert found["remark"][1] == "no interval: more than one span beyond the calibrated range"
    assert found["in_range"].tolist() == [False, False]


def test_an_unknown_scatter() -> None:
    """Under a loss other than squares a new reading has no interval; the curve, or a known sigma, has."""
    robust = of_chapter(scatter=None)
    for column in ("t_u", "t_c"):
        found = asked(robust, column, 20.0)
        assert found["lower"][0] is None
        assert "ask for the curve, or give sigma" in found["remark"][0]
        for params in ({"curve": True}, {"sigma": 0.5}):
            assert asked(robust, column, 20.0, **params)["lower"][0] is not None


def test_no_uncertainty_on_record() -> None:
    """Values are as ever, and nothing is made up beside them."""
    bare = calibration(np.array([0.5, -17.0]), None, (21.8, 81.9))
    for column, other, value in (("t_u", "t_c", 13.0), ("t_c", "t_u", 154.0)):
        [found] = asked(bare, column, 60.0).to_dict("records")
        assert found.pop(other) == value
        assert found == {
            "uncertainty": None, "lower": None, "upper": None, "in_range": column == "t_u", "remark": None
        }  # fmt: skip


def test_both_columns_are_checked() -> None:
    """A deviation is what is given less what is predicted; where either is missing, there is none."""
    frame = pd.DataFrame({"t_u": [35.7, 60.0, None], "t_c": [0.5, None, 3.0]})
    with pytest.warns(UserWarning, match="^1 of 3 rows have no t_u, and no answer$"):
        found = of_chapter().predict(None, frame)
    assert list(found) == ["predicted", "uncertainty", "lower", "upper", "deviation", "in_range", "remark"]
    predicted = [pytest.approx(1.85797207338854), pytest.approx(14.9015297514419), None]
    assert found["predicted"].tolist() == predicted
    assert found["deviation"].tolist() == [pytest.approx(0.5 - 1.85797207338854), None, None]
    assert found["in_range"].tolist() == [True, True, None]


def test_a_row_without_a_number_keeps_its_place() -> None:
    frame = pd.DataFrame({"t_u": [None, 60.0]}, index=["a", "b"])
    with pytest.warns(UserWarning, match="^1 of 2 rows have no t_u, and no answer$"):
        found = of_chapter().predict(None, frame)
    assert list(found.index) == ["a", "b"]
    assert found.loc["a"].tolist() == [None] * 6
    assert found.loc["b", "t_c"] == pytest.approx(14.9015297514419)


def test_whole_numbers_are_readings() -> None:
    found = of_chapter().predict(None, pd.DataFrame({"t_u": np.array([60], dtype=np.int64)}))
    assert found["t_c"][0] == pytest.approx(14.9015297514419)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"coverage": 1.0, "replicates": 0, "sigma": -1.0}, ["coverage 1.0", "replicates 0", "sigma -1.0"]),
        ({"coverage": math.nan}, ["between 0 and 1"]),
        ({"replicates": 2.5}, ["a whole number from 1"]),
        ({"sigma": math.inf}, ["greater than 0"]),
        ({"curve": True, "sigma": 1.0}, ["curve is the curve itself"]),
    ],
)
def test_wrong_params(params: dict[str, Any], words: list[str]) -> None:
    """All of them are named at once."""
    with pytest.raises(MlflowException) as caught:
        asked(of_chapter(), "t_u", 50.0, **params)
    assert caught.value.get_http_status_code() == 400
    for each in words:
        assert each in str(caught.value)
