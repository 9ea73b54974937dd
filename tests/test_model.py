"""A run's model: what is logged, and that it needs nothing of this project."""

import json
import math
import os
import shutil
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
from mlflow.pyfunc.utils import pyfunc
from torch import Tensor

from src.config import ConfigError, check
from src.data import load
from src.elementary import exp
from src.fit.plan import Preparation
from src.fit.training import calibrate
from src.functions import public
from src.models import MODELS
from src.package import CONF
from src.tracking import model, predictor, reader, registry, standalone
from src.tracking.dataset import DatasetRecord
from src.tracking.predictor import Predictor
from src.tracking.record import Call, RunRecord, TrackedRun, of_result
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


def put_by_hand(store: Store, run: TrackedRun) -> TrackedRun:
    """A run on record as another version of the trainer may put it there."""
    record = RunRecord(
        "by hand", "FINISHED", 1000, 2000, run.params, run.metrics, [0], {"loss": [1.0]},
        {"outcome": "converged"}, replace(dataset(), digest="1", source="{}", schema="{}"),
    )  # fmt: skip
    [run_id] = open_writer(store).write([record])
    return reader.get(store, run_id)


def both_ways(predictor: Predictor) -> list[float]:
    there = predictor.predict(pd.DataFrame({"t_u": [58.2]}))
    back = predictor.predict(pd.DataFrame({"t_c": [14.0]}))
    return [*there["t_c"], *back["t_u"]]


# of EXPONENTIAL, at 58.2 and 14, by hand
BOTH_WAYS = [20 * math.exp(0.9 * (58.2 - 50) * 0.0625) - 7, 50 + math.log(21 / 20) / 0.9 / 0.0625]


@pytest.mark.usefixtures("shipped")
def test_any_function_is_logged_and_predicts_as_its_run_does(store: Store) -> None:
    run = put_by_hand(store, EXPONENTIAL)
    assert both_ways(predictor.of_run(store, run)) == pytest.approx(BOTH_WAYS, rel=1e-12)
    logged = model.log(store, run)
    assert both_ways(registry.load(store, logged.uri)) == pytest.approx(BOTH_WAYS, rel=1e-12)
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
    assert both_ways(predictor.of_run(store, run)) == pytest.approx(BOTH_WAYS, rel=1e-12)
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
    assert both_ways(registry.load(store, logged.uri)) == pytest.approx(BOTH_WAYS, rel=1e-12)


def test_a_polynomial_of_the_users_own_has_exact_roots(own: Path) -> None:
    run = tracked({"w": 2.0, "b": 1.0}, model=f"{own.stem}.line")
    assert predictor.config_of(run, dataset())["polynomial"] is True


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
    assert both_ways(registry.load(store, logged.uri)) == pytest.approx(BOTH_WAYS, rel=1e-12)


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
    loaded = registry.load(store, f"models:/{info.model_id}")
    assert list(loaded.predict(pd.DataFrame({"t_u": [3.0]}))["t_c"]) == [7.0]


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
