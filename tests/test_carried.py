"""What a logged model carries: the text of its function, the user's files, and nothing of this project."""

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
import pandas as pd
import pytest

from src.functions import public
from src.models import MODELS
from src.tracking import model, predictor, reader, registry, standalone
from src.tracking.predictor import Predictor
from src.tracking.record import RunRecord, TrackedRun
from src.tracking.store import Store, open_store
from src.tracking.writer import open_writer
from tests.test_model import EXPONENTIAL, dataset, exponential, put_on_record, tracked


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if src/models.py had an exponential."""
    monkeypatch.setitem(MODELS, "exponential", exponential)


@pytest.fixture
def store(folder: Path) -> Store:
    """The folder's store."""
    del folder
    return open_store("thermometer")


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
def test_it_loads_without_this_project_and_without_torch(store: Store, tmp_path: Path) -> None:
    run = put_on_record("+experiment=book")
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
