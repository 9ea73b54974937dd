"""A run's model: the arithmetic both ways, what is logged, and that it needs nothing of this project."""

import json
import math
import os
import subprocess
import sys
import sysconfig
import warnings
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

from src.config import ConfigError, check
from src.data import load
from src.fit.plan import Preparation
from src.fit.training import calibrate
from src.package import CONF
from src.tracking import model, reader
from src.tracking.calibration_model import CalibrationModel
from src.tracking.record import Call, DatasetRecord, TrackedRun, of_result
from src.tracking.store import Store, open_store
from src.tracking.writer import open_writer

RANGE = (21.8, 81.9)  # the chapter's least and largest reading
LINE = (0.53671, -17.3012)  # the chapter's calibration
PARABOLA = (1.0, -100.0, 0.0)  # its vertex, (50, -2500), lies within the range


def loaded(*params: float, input_range: tuple[float, float] = RANGE) -> CalibrationModel:
    calibration = CalibrationModel()
    config = {"params": list(params), "input": "t_u", "target": "t_c", "input_range": list(input_range)}
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
    assert list(there.columns) == ["t_c", "in_range"]
    assert list(there["t_c"]) == pytest.approx([0.53671 * 35.7 - 17.3012, 0.53671 * 58.2 - 17.3012])
    back = predicted(line, "t_c", *there["t_c"])
    assert list(back.columns) == ["t_u", "in_range"]
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
        (PARABOLA[0] * 60**2 - 100 * 60, 60),  # 40 is in the range too, and further from its middle
        (-2500, 50),  # the vertex
    ],
)
def test_of_two_readings_the_one_nearest_the_middle_of_the_range(true_value: float, reading: float) -> None:
    assert quietly(loaded(*PARABOLA), "t_c", true_value) == pytest.approx([reading])


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
    assert list(loaded(*LINE).predict(None, frame).columns) == ["t_c", "in_range"]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({"t_u": [1.0], "t_c": [2.0]}, "both of the columns t_u and t_c given"),
        ({"t_u": [1.0, None], "t_c": [None, 2.0]}, "both of the columns"),
        ({"x": [1.0]}, "neither of the columns t_u and t_c given"),
        ({}, "neither"),
        ({"t_u": [1.0, math.nan]}, "column t_u: nan in row 2"),
        ({"t_u": [math.inf, 1.0, -math.inf]}, "inf in row 1, -inf in row 3"),
        ({"t_c": ["cold"]}, "column t_c: cold in row 1"),
        ({"t_u": ["?"] * 12}, "row 10 and 2 more"),
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
        "input": "t_u",
        "target": "t_c",
        "input_range": [21.8, 81.9],
    }
    parabola = tracked({"b": 3.0, "w1": 2.0, "w2": 1.0}, model="quadratic")
    assert model.config_of(parabola, dataset())["params"] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("run", "profile", "words"),
    [
        (tracked({"lr_over_limit": 29}, "diverged"), PROFILE, "diverged and has no calibration"),
        (tracked({}, ""), PROFILE, "crashed and has no calibration: give best, or another run"),
        (tracked({}, "killed"), PROFILE, "killed and has no calibration"),
        (tracked({"w": 1, "b": 2}, model="cubic"), PROFILE, "no calibration"),
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
    assert [line.partition("==")[0] for line in requirements] == ["mlflow", "numpy", "pandas"]


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
    assert version.description.startswith("`t_c = 0.5367")
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


def test_a_model_of_another_kind_is_refused(store: Store) -> None:
    @pyfunc
    def other(model_input: list[str]) -> list[str]:
        return model_input

    with warnings.catch_warnings(action="ignore"):  # of a signature that does not matter here
        info = mlflow.pyfunc.log_model(name="other", python_model=other, pip_requirements=["mlflow"])
        mlflow.end_run()
    with pytest.raises(ConfigError, match=r"is not a calibration of src\.train"):
        model.load(store, f"models:/{info.model_id}")


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
for name in ("src", "torch", "hydra", "omegaconf"):
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


@pytest.mark.slow
def test_it_loads_without_this_project_and_without_torch(
    store: Store, run: TrackedRun, tmp_path: Path
) -> None:
    logged = model.log(store, run, register="thermometer")
    python = bare_environment(tmp_path)
    for uri in ("models:/thermometer/1", f"models:/{logged.model_id}"):
        process = subprocess.run(
            [python, "-c", LOAD, uri], cwd=tmp_path, env=bare_variables(), capture_output=True, text=True
        )
        assert process.returncode == 0, process.stderr
        assert process.stderr == ""
        answer = json.loads(process.stdout)
        w, b = run.metrics["w"], run.metrics["b"]
        assert answer["t_c"] == pytest.approx(w * 58.2 + b, rel=1e-12)
        assert answer["t_u"] == pytest.approx((14.0 - b) / w, rel=1e-12)
        assert answer["in_range"] == [True, True]
        assert "site-packages" not in answer["code"]
        assert Path(answer["code"]).is_relative_to(tmp_path), "the code is the model's own"
