"""A run's model: the arithmetic both ways, what is logged, and that it needs nothing of this project."""

import json
import math
import os
import shutil
import subprocess
import sys
import sysconfig
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModelContext
from mlflow.pyfunc.utils import pyfunc
from torch import Tensor

from src.config import ConfigError, check
from src.data import load
from src.elementary import exp, log, sqrt
from src.fit.plan import Preparation
from src.fit.training import calibrate
from src.functions import public
from src.models import MODELS
from src.package import CONF
from src.tracking import model, reader, standalone
from src.tracking.calibration_model import CalibrationModel
from src.tracking.dataset import DatasetRecord
from src.tracking.record import Call, RunRecord, TrackedRun, of_result
from src.tracking.store import Store, open_store
from src.tracking.writer import open_writer

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


PROFILE = json.dumps({"num_rows": 11, "input": {"name": "t_u", "unit": "", "min": 21.8, "max": 81.9}})


def tracked(metrics: dict[str, float], outcome: str = "converged", **params: str) -> TrackedRun:
    columns = {"model": "linear", "data_input": "t_u", "data_target": "t_c"}
    return TrackedRun(
        "a" * 32, "", "FINISHED", columns | params, metrics, {"outcome": outcome} if outcome else {}
    )


def dataset(profile: str = PROFILE) -> DatasetRecord:
    return DatasetRecord("thermometer", "", "", "", profile)


def test_the_config_is_what_is_on_record() -> None:
    run = tracked({"b": -17.3, "w": 0.5, "trained_w": 5.0, "trained_b": -17.3})
    assert model.config_of(run, dataset()) == {
        "params": [0.5, -17.3],
        "shift": 0.0,
        "scale": 1.0,
        "polynomial": True,
        "input": "t_u",
        "target": "t_c",
        "input_range": [21.8, 81.9],
        "uncertainty": None,
    }
    parabola = tracked({"b": 3.0, "w1": 2.0, "w2": 1.0}, model="quadratic")
    assert model.config_of(parabola, dataset())["params"] == [1.0, 2.0, 3.0]


EXPONENTIAL = tracked(
    {"trained_b": -7.0, "trained_a": 20.0, "trained_k": 0.9},
    model="exponential",
    normalization="zscore",
    normalization_shift="50.0",
    normalization_scale="0.0625",
)


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if src/models.py had an exponential."""
    monkeypatch.setitem(MODELS, "exponential", exponential)


@pytest.mark.usefixtures("shipped")
def test_the_trained_parameters_predict_and_raw_ones_where_there_are_no_others() -> None:
    config = model.config_of(EXPONENTIAL, dataset())
    del config["input"], config["target"], config["input_range"]
    known = {"params": [20.0, 0.9, -7.0], "shift": 50.0, "scale": 0.0625, "polynomial": False}
    assert config == known | {"uncertainty": None}
    raw = {"a": 3.0, "k": 2.0, "b": 1.0}
    both = replace(EXPONENTIAL, metrics=EXPONENTIAL.metrics | raw)
    assert model.config_of(both, dataset())["params"] == [20.0, 0.9, -7.0]
    older = model.config_of(replace(EXPONENTIAL, metrics=raw), dataset())
    assert (older["params"], older["shift"], older["scale"]) == ([3.0, 2.0, 1.0], 0.0, 1.0)


@pytest.mark.parametrize("missing", ["trained_k", "normalization_shift"])
@pytest.mark.usefixtures("shipped")
def test_trained_parameters_are_none_without_all_of_them_and_the_normalization(missing: str) -> None:
    metrics, params = dict(EXPONENTIAL.metrics), dict(EXPONENTIAL.params)
    (metrics if missing in metrics else params).pop(missing)
    with pytest.raises(ConfigError, match="no calibration"):
        model.config_of(replace(EXPONENTIAL, metrics=metrics, params=params), dataset())


@pytest.mark.parametrize(
    ("run", "profile", "words"),
    [
        (tracked({"lr_over_limit": 29}, "diverged"), PROFILE, "diverged and has no calibration"),
        (tracked({}, ""), PROFILE, "crashed and has no calibration: give best, or another run"),
        (tracked({}, "killed"), PROFILE, "killed and has no calibration"),
        (tracked({"w": 1, "b": 2}, model="cubic"), PROFILE, "no calibration .*there is no cubic"),
        (tracked({"w": 1}, model="not.there"), PROFILE, "not.there: not cannot be imported: ModuleNotFound"),
        (replace(tracked({}), params={}), PROFILE, "is the parent of a sweep"),
        (tracked({"w": 1, "b": 2}), '{"num_rows": 11}', "no range of its readings on record: train it again"),
        (tracked({"w": 1, "b": 2}), "", "no range"),
    ],
)
def test_a_run_without_a_calibration_is_refused(run: TrackedRun, profile: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        model.config_of(run, dataset(profile))


def put_on_record(*overrides: str) -> TrackedRun:
    """A run as `python -m src.train` puts it on record, before it logs a model."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = check(compose("config", list(overrides)))
    [calibration] = calibrate([Preparation(load).prepare(settings)])
    store = open_store(settings.tracking.experiment)
    [run_id] = open_writer(store).write([of_result(calibration, Call(1000, 2000))])
    return reader.get(store, run_id)


@pytest.fixture
def store(folder: Path) -> Store:
    """The folder's store."""
    del folder
    return open_store("thermometer")


@pytest.fixture
def run(store: Store) -> TrackedRun:
    """The chapter's run."""
    del store
    return put_on_record("+experiment=book")


def record_of(store: Store, run: TrackedRun) -> dict[str, Any]:
    """All that MLflow tells of a run, but for its models; the loss curve too."""
    entity = store.client.get_run(run.run_id)
    curve = store.client.get_metric_history(run.run_id, "loss")
    return {**entity.to_dictionary(), "outputs": None, "curve": [dict(point) for point in curve]}


def test_logging_leaves_the_run_as_it_is_and_says_nothing(
    store: Store, run: TrackedRun, capfd: pytest.CaptureFixture[str]
) -> None:
    before = record_of(store, run)
    model.log(store, run, register="thermometer")
    assert record_of(store, run) == before
    assert before["info"]["status"] == "FINISHED"
    assert capfd.readouterr() == ("", "")


def test_what_is_logged(store: Store, run: TrackedRun) -> None:
    logged = model.log(store, run)
    assert logged.version is None
    [output] = store.client.get_run(run.run_id).outputs.model_outputs
    assert f"models:/{output.model_id}" == logged.uri
    entity = store.client.get_logged_model(logged.model_id)
    assert (entity.name, entity.status, entity.source_run_id) == ("calibration", "READY", run.run_id)
    assert {metric.key: metric.value for metric in entity.metrics} == run.metrics
    assert entity.params == run.params
    files = {path.name: path for path in Path(entity.artifact_location).iterdir()}
    assert not [name for name in files if name.endswith(".pkl")]
    requirements = files["requirements.txt"].read_text().splitlines()
    assert [line.partition("==")[0] for line in requirements] == ["mlflow", "numpy", "pandas", "scipy"]


def test_a_model_is_logged_and_registered_once(store: Store, run: TrackedRun) -> None:
    first = model.log(store, run)
    registered = model.log(store, run, register="thermometer")
    assert registered == model.log(store, run, register="thermometer")
    assert registered.model_id == first.model_id
    assert registered.uri == "models:/thermometer/1"
    assert model.log(store, run, register="it's another").uri == "models:/it's another/1"
    assert model.log(store, run, register="it's another").version == "1"
    assert {each.name for each in store.client.search_registered_models()} == {"thermometer", "it's another"}
    assert len(store.client.search_model_versions(f"run_id = '{run.run_id}'")) == 2
    [version] = store.client.search_model_versions("name = 'thermometer'")
    assert "`t_c = 0.5367" in version.description
    assert (version.run_id, version.status) == (run.run_id, "READY")


def test_another_run_is_the_next_version(store: Store, run: TrackedRun) -> None:
    assert model.log(store, run, register="thermometer").version == "1"
    better = put_on_record("normalization=zscore")
    assert model.log(store, better, register="thermometer").version == "2"
    latest = model.load(store, "models:/thermometer")
    expected = np.polyval([better.metrics["w"], better.metrics["b"]], 40.0)
    assert latest.predict(pd.DataFrame({"t_u": [40.0]}))["t_c"][0] == pytest.approx(expected, rel=1e-12)


def test_a_registered_parabola_predicts_as_its_run_does(store: Store) -> None:
    """MLflow sorts what it keeps by name: b, w1, w2 would be another curve."""
    run = put_on_record("model=quadratic", "normalization=zscore", "lr=0.1", "epochs=500")
    assert model.log(store, run, register="parabola").uri == "models:/parabola/1"
    calibration = model.load(store, "models:/parabola/1")
    params = [run.metrics[name] for name in ("w2", "w1", "b")]
    answer = calibration.predict(pd.DataFrame({"t_u": [35.7, 58.2]}))
    assert list(answer["t_c"]) == pytest.approx(np.polyval(params, [35.7, 58.2]), rel=1e-12)


@pytest.mark.parametrize("dtype", ["int64", "int32", "float32", "object", "Int64"])
def test_whole_numbers_are_readings(store: Store, run: TrackedRun, dtype: str) -> None:
    """However MLflow loads it, and pandas holds them; a missing one has no answer."""
    loaded = mlflow.pyfunc.load_model(model.log(store, run).uri)
    whole, broken = (pd.DataFrame({"t_u": pd.Series([40, 60]).astype(each)}) for each in (dtype, float))
    pd.testing.assert_frame_equal(loaded.predict(whole), loaded.predict(broken))
    if dtype in ("object", "Int64"):
        gap = pd.DataFrame({"t_u": pd.array([40, None], dtype=dtype)})
        with pytest.warns(UserWarning, match="1 of 2 rows have no t_u"):
            assert list(loaded.predict(gap)["t_c"].isna()) == [False, True]


def test_a_diverged_run_is_not_logged(store: Store) -> None:
    diverged = put_on_record("normalization=none")
    with pytest.raises(ConfigError, match=r"diverged and has no calibration .*use a smaller lr"):
        model.log(store, diverged)
    assert not store.client.search_logged_models([store.experiment_id])


def test_a_model_that_was_cut_short_is_failed_and_not_used_again(
    store: Store, run: TrackedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr(model, "_save", break_down)
        with pytest.raises(OSError, match="no space"):
            model.log(store, run)
    assert not store.client.get_run(run.run_id).outputs.model_outputs
    whole = model.log(store, run)
    found = store.client.search_logged_models([store.experiment_id])
    assert {each.model_id == whole.model_id: str(each.status) for each in found} == {
        True: "READY",
        False: "FAILED",
    }


def test_a_model_that_was_deleted_is_logged_anew(store: Store, run: TrackedRun) -> None:
    first = model.log(store, run, register="thermometer")
    store.client.delete_logged_model(first.model_id)
    second = model.log(store, run, register="thermometer")
    assert second.model_id != first.model_id
    assert second.uri == "models:/thermometer/2"
    assert model.load(store, second.uri).input == "t_u"


def test_a_model_whose_files_are_gone_is_logged_anew(store: Store, run: TrackedRun) -> None:
    first = model.log(store, run)
    shutil.rmtree(store.client.get_logged_model(first.model_id).artifact_location)
    second = model.log(store, run, register="thermometer")
    assert second.model_id != first.model_id
    assert model.load(store, second.uri).input == "t_u"


def test_a_model_of_another_kind_is_refused(store: Store) -> None:
    @pyfunc
    def other(model_input: list[str]) -> list[str]:
        return model_input

    with warnings.catch_warnings(action="ignore"):  # of a signature that does not matter here
        info = mlflow.pyfunc.log_model(name="other", python_model=other, pip_requirements=["mlflow"])
        mlflow.end_run()
    with pytest.raises(ConfigError, match=r"is not a calibration of src\.train"):
        model.load(store, f"models:/{info.model_id}")


def put_by_hand(store: Store, run: TrackedRun) -> TrackedRun:
    """A run on record as another version of the trainer may put it there."""
    record = RunRecord(
        "by hand", "FINISHED", 1000, 2000, run.params, run.metrics, [0], {"loss": [1.0]},
        {"outcome": "converged"}, replace(dataset(), digest="1", source="{}", schema="{}"),
    )  # fmt: skip
    [run_id] = open_writer(store).write([record])
    return reader.get(store, run_id)


def both_ways(predictor: model.Predictor) -> list[float]:
    there = predictor.predict(pd.DataFrame({"t_u": [58.2]}))
    back = predictor.predict(pd.DataFrame({"t_c": [14.0]}))
    return [*there["t_c"], *back["t_u"]]


# of EXPONENTIAL, at 58.2 and 14, by hand
BOTH_WAYS = [20 * math.exp(0.9 * (58.2 - 50) * 0.0625) - 7, 50 + math.log(21 / 20) / 0.9 / 0.0625]


@pytest.mark.usefixtures("shipped")
def test_any_function_is_logged_and_predicts_as_its_run_does(store: Store) -> None:
    run = put_by_hand(store, EXPONENTIAL)
    assert both_ways(model.of_run(store, run)) == pytest.approx(BOTH_WAYS, rel=1e-12)
    logged = model.log(store, run)
    assert both_ways(model.load(store, logged.uri)) == pytest.approx(BOTH_WAYS, rel=1e-12)
    folder = Path(store.client.get_logged_model(logged.model_id).artifact_location)
    assert not (folder / "code").exists()
    text = (folder / "calibration_model.py").read_text()
    assert text.count("def exponential(") == 1
    assert "exp = np.exp" in text
    assert "src" not in text
    assert "torch" not in text


def test_the_logged_texts_fit() -> None:
    """No two of the modules that become one file mean different things by a name."""
    first: dict[str, object] = {}
    for module in standalone.MODULES:
        own = {name: value for name, value in vars(module).items() if not name.startswith("__")}
        assert all(first.setdefault(name, value) is value for name, value in own.items()), module


@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_function_stands_alone(name: str) -> None:
    """Its text is all of it that a logged model carries."""
    assert set(MODELS[name].__code__.co_names) <= set(public("src.elementary"))


OWN = """
import torch

OFFSET = torch.tensor(7.0)


def growth(t_u, a, k, b):
    return a * torch.exp(k * t_u) + b


def line(t_u, w, b):
    return torch.add(w * t_u, b)
"""


@pytest.fixture
def own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's file in the working folder, which need not be on sys.path."""
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(folder))])
    path = folder / f"mine_{folder.name}.py"  # what is imported once stays so
    path.write_text(OWN)
    return path


def test_a_function_of_the_users_own_is_carried(own: Path, store: Store) -> None:
    run = put_by_hand(store, with_model(EXPONENTIAL, f"{own.stem}.growth"))
    assert both_ways(model.of_run(store, run)) == pytest.approx(BOTH_WAYS, rel=1e-12)
    logged = model.log(store, run)
    folder = Path(store.client.get_logged_model(logged.model_id).artifact_location)
    assert (folder / "code" / own.name).read_text() == OWN
    requirements = (folder / "requirements.txt").read_text().splitlines()
    assert [line.partition("==")[0] for line in requirements] == [
        "mlflow",
        "numpy",
        "pandas",
        "scipy",
        "torch",
    ]
    assert both_ways(model.load(store, logged.uri)) == pytest.approx(BOTH_WAYS, rel=1e-12)


def test_a_polynomial_of_the_users_own_has_exact_roots(own: Path) -> None:
    run = tracked({"w": 2.0, "b": 1.0}, model=f"{own.stem}.line")
    assert model.config_of(run, dataset())["polynomial"] is True


def test_a_package_of_the_users_own_is_carried_whole(own: Path, store: Store) -> None:
    package = own.parent / f"package_{own.stem}"
    package.mkdir()
    own.rename(package / "mine.py")
    (package / "__init__.py").touch()
    (package / "models.py").write_text("from .mine import growth as mine\n\ndef growth(t_u, a, k, b):\n"
                                       "    return mine(t_u, a, k, b)\n")  # fmt: skip
    run = put_by_hand(store, with_model(EXPONENTIAL, f"{package.name}.models.growth"))
    logged = model.log(store, run)
    folder = Path(store.client.get_logged_model(logged.model_id).artifact_location)
    carried = {path.name for path in (folder / "code" / package.name).glob("*.py")}
    assert carried == {"__init__.py", "models.py", "mine.py"}
    assert both_ways(model.load(store, logged.uri)) == pytest.approx(BOTH_WAYS, rel=1e-12)


def with_model(run: TrackedRun, name: str) -> TrackedRun:
    return replace(run, params=run.params | {"model": name})


OLD = """
import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel


class CalibrationModel(PythonModel):
    def load_context(self, context):
        self.w, self.b = context.model_config["params"]

    def predict(self, context, model_input: pd.DataFrame, params=None):
        return pd.DataFrame({"t_c": self.w * model_input["t_u"] + self.b, "in_range": True})


mlflow.models.set_model(CalibrationModel())
"""


def test_a_model_that_an_older_version_logged_is_used_as_it_is(store: Store, tmp_path: Path) -> None:
    """It has neither shift nor scale in its config, and brings its own code."""
    (tmp_path / "old.py").write_text(OLD)
    config = {"params": [2.0, 1.0], "input": "t_u", "target": "t_c", "input_range": [21.8, 81.9]}
    with warnings.catch_warnings(action="ignore"):  # of a signature that does not matter here
        info = mlflow.pyfunc.log_model(
            name="old", python_model=tmp_path / "old.py", model_config=config, pip_requirements=["mlflow"]
        )
        mlflow.end_run()
    predictor = model.load(store, f"models:/{info.model_id}")
    assert list(predictor.predict(pd.DataFrame({"t_u": [3.0]}))["t_c"]) == [7.0]


# What the model needs not: this project, what it is configured and trained with.
ABSENT = ("torch", "functorch", "hydra", "omegaconf", "calibrate_thermometer", "_calibrate_thermometer")


def bare_environment(folder: Path) -> Path:
    """A virtual environment with MLflow, but without this project, torch and Hydra; its Python."""
    environment = folder / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    [packages] = environment.glob("lib/python*/site-packages")
    for installed in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not installed.name.startswith(ABSENT):
            (packages / installed.name).symlink_to(installed)
    return environment / "bin" / "python"


LOAD = """
import importlib.util, inspect, json, sys
import mlflow, pandas
for name in sys.argv[2:]:
    assert importlib.util.find_spec(name) is None, name
model = mlflow.pyfunc.load_model(sys.argv[1])
forward = model.predict(pandas.DataFrame({"t_u": [58.2]}))
back = model.predict(pandas.DataFrame({"t_c": [14.0]}))
print(json.dumps({
    "t_c": forward["t_c"][0],
    "t_u": back["t_u"][0],
    "in_range": [bool(forward["in_range"][0]), bool(back["in_range"][0])],
    "code": inspect.getfile(type(model.unwrap_python_model())),
}))
"""


def bare_variables() -> dict[str, str]:
    """The environment's variables, less those that would lead to this project."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}


def elsewhere(python: Path, uri: str, *absent: str, folder: Path) -> dict[str, Any]:
    """What a model answers in a process that has none of the absent modules."""
    process = subprocess.run(
        [python, "-c", LOAD, uri, *absent], cwd=folder, env=bare_variables(), capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    answer: dict[str, Any] = json.loads(process.stdout)
    assert "site-packages" not in answer["code"]
    assert Path(answer["code"]).is_relative_to(folder), "the code is the model's own"
    assert answer["in_range"] == [True, True]
    return answer


@pytest.mark.slow
@pytest.mark.usefixtures("shipped")
def test_it_loads_without_this_project_and_without_torch(
    store: Store, run: TrackedRun, tmp_path: Path
) -> None:
    w, b = run.metrics["w"], run.metrics["b"]
    logged = model.log(store, run, register="thermometer")
    curve = model.log(store, put_by_hand(store, EXPONENTIAL))
    line = [w * 58.2 + b, (14.0 - b) / w]
    python = bare_environment(tmp_path)
    for uri, expected in (
        ("models:/thermometer/1", line), (f"models:/{logged.model_id}", line), (curve.uri, BOTH_WAYS),
    ):  # fmt: skip
        answer = elsewhere(python, uri, "src", "torch", "hydra", "omegaconf", folder=tmp_path)
        assert [answer["t_c"], answer["t_u"]] == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
def test_a_function_of_the_users_own_loads_where_its_file_is_not(own: Path, store: Store) -> None:
    """With torch, and with the store that is in the folder; the file is gone."""
    logged = model.log(store, put_by_hand(store, with_model(EXPONENTIAL, f"{own.stem}.growth")))
    own.unlink()
    answer = elsewhere(Path(sys.executable), logged.uri, own.stem, folder=own.parent)
    assert [answer["t_c"], answer["t_u"]] == pytest.approx(BOTH_WAYS, rel=1e-12)
