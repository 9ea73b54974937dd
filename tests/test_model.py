"""A run's model: what is logged and registered of it, and what is refused."""

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from mlflow.pyfunc.utils import pyfunc
from torch import Tensor

from src.config import ConfigError, check
from src.data import load
from src.elementary import exp
from src.fit.plan import Preparation
from src.fit.training import calibrate
from src.models import MODELS
from src.package import CONF
from src.tracking import model, predictor, reader, registry
from src.tracking.dataset import DatasetRecord
from src.tracking.record import TrackedRun
from src.tracking.recording import Call, of_result
from src.tracking.store import Store, open_store
from src.tracking.writer import open_writer


def exponential(t_u: Tensor, a: Tensor, k: Tensor, b: Tensor) -> Tensor:
    """A thermistor's divider, roughly: `a * exp(k * t_u) + b`."""
    return a * exp(k * t_u) + b


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
    assert predictor.config_of(run, dataset()) == {
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
    assert predictor.config_of(parabola, dataset())["params"] == [1.0, 2.0, 3.0]


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
    config = predictor.config_of(EXPONENTIAL, dataset())
    del config["input"], config["target"], config["input_range"]
    known = {"params": [20.0, 0.9, -7.0], "shift": 50.0, "scale": 0.0625, "polynomial": False}
    assert config == known | {"uncertainty": None}
    raw = {"a": 3.0, "k": 2.0, "b": 1.0}
    both = replace(EXPONENTIAL, metrics=EXPONENTIAL.metrics | raw)
    assert predictor.config_of(both, dataset())["params"] == [20.0, 0.9, -7.0]
    older = predictor.config_of(replace(EXPONENTIAL, metrics=raw), dataset())
    assert (older["params"], older["shift"], older["scale"]) == ([3.0, 2.0, 1.0], 0.0, 1.0)


@pytest.mark.parametrize("missing", ["trained_k", "normalization_shift"])
@pytest.mark.usefixtures("shipped")
def test_trained_parameters_are_none_without_all_of_them_and_the_normalization(missing: str) -> None:
    metrics, params = dict(EXPONENTIAL.metrics), dict(EXPONENTIAL.params)
    (metrics if missing in metrics else params).pop(missing)
    with pytest.raises(ConfigError, match="no calibration"):
        predictor.config_of(replace(EXPONENTIAL, metrics=metrics, params=params), dataset())


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
        predictor.config_of(run, dataset(profile))


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
    latest = registry.load(store, "models:/thermometer")
    expected = np.polyval([better.metrics["w"], better.metrics["b"]], 40.0)
    assert latest.predict(pd.DataFrame({"t_u": [40.0]}))["t_c"][0] == pytest.approx(expected, rel=1e-12)


def test_a_registered_parabola_predicts_as_its_run_does(store: Store) -> None:
    """MLflow sorts what it keeps by name: b, w1, w2 would be another curve."""
    run = put_on_record("model=quadratic", "normalization=zscore", "lr=0.1", "epochs=500")
    assert model.log(store, run, register="parabola").uri == "models:/parabola/1"
    calibration = registry.load(store, "models:/parabola/1")
    params = [run.metrics[name] for name in ("w2", "w1", "b")]
    answer = calibration.predict(pd.DataFrame({"t_u": [35.7, 58.2]}))
    assert list(answer["t_c"]) == pytest.approx(np.polyval(params, [35.7, 58.2]), rel=1e-12)


def test_whole_numbers_are_readings(store: Store, run: TrackedRun) -> None:
    """However MLflow loads it, and pandas holds them; a missing one has no answer."""
    loaded = mlflow.pyfunc.load_model(model.log(store, run).uri)
    broken = pd.DataFrame({"t_u": [40.0, 60.0]})
    for dtype in ("int64", "int32", "float32", "object", "Int64"):
        whole = pd.DataFrame({"t_u": pd.Series([40, 60]).astype(dtype)})
        pd.testing.assert_frame_equal(loaded.predict(whole), loaded.predict(broken))
    for dtype in ("object", "Int64"):
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
    assert registry.load(store, second.uri).input == "t_u"


def test_a_model_whose_files_are_gone_is_logged_anew(store: Store, run: TrackedRun) -> None:
    first = model.log(store, run)
    shutil.rmtree(store.client.get_logged_model(first.model_id).artifact_location)
    second = model.log(store, run, register="thermometer")
    assert second.model_id != first.model_id
    assert registry.load(store, second.uri).input == "t_u"


def test_a_model_of_another_kind_is_refused(store: Store) -> None:
    @pyfunc
    def other(model_input: list[str]) -> list[str]:
        return model_input

    with warnings.catch_warnings(action="ignore"):  # of a signature that does not matter here
        info = mlflow.pyfunc.log_model(name="other", python_model=other, pip_requirements=["mlflow"])
        mlflow.end_run()
    with pytest.raises(ConfigError, match=r"is not a calibration of src\.train"):
        registry.load(store, f"models:/{info.model_id}")
