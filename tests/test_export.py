"""A calibration taken elsewhere: against the record, a compiler, and ESPHome's own package."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import indent

import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from src import export, predict
from tests.conftest import train_in, work_in
from tests.record import recorded

Command = Callable[..., int]

MODELS = {
    "linear": ("normalization=zscore", "lr=0.1"),
    "proportional": ("normalization=scale", "lr=0.01"),
    "quadratic": ("normalization=minmax", "lr=0.5", "epochs=20000"),
    "exponential": (
        "normalization=zscore",
        "lr=auto",
        "dtype=float64",
        "model.start.a=5",
        "model.start.k=0.5",
    ),
    "power": ("normalization=scale", "lr=auto", "dtype=float64"),
}
CC = shutil.which("cc")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Path:
    """A folder with a calibration of each model, in an experiment of its name."""
    place = tmp_path_factory.mktemp("calibrated")
    data = pd.DataFrame({"volt": np.linspace(1, 9, 9)})
    data["celsius"] = 3 * data.volt + 0.2 * data.volt**1.5 + [0.1, -0.1, 0.05, 0, -0.05, 0.1, -0.1, 0, 0.02]
    data.to_csv(place / "mine.csv", index=False)
    mine = ("data.path=mine.csv", "data.input=volt", "data.target=celsius")
    lines = [
        (f"model={model}", f"tracking.experiment={model}", *mine, *settings)
        for model, settings in MODELS.items()
    ]
    train_in(place, migrated_store, *lines)
    return place


@pytest.fixture
def client(place: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """MLflow's own client on their store, in whose folder the test works."""
    return work_in(place, monkeypatch)


@pytest.fixture
def exported(client: MlflowClient, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `export` prints of a model's calibration."""
    del client

    def run(model: str, format: str) -> str:
        assert export.command(["best", "--experiment", model, "--format", format]) == 0
        return capsys.readouterr().out

    return run


def answers(
    readings: np.ndarray, capsys: pytest.CaptureFixture[str], folder: Path, experiment: str = "thermometer"
) -> np.ndarray:
    """What `predict` says of readings, of the best run."""
    pd.DataFrame({"volt": readings}).to_csv(folder / "new.csv", index=False)
    call = ["best", "--experiment", experiment, "--csv", str(folder / "new.csv")]
    assert predict.command(call) == 0
    (folder / "answers.csv").write_text(capsys.readouterr().out)
    return pd.read_csv(folder / "answers.csv")["celsius"].to_numpy()


@pytest.mark.parametrize("model", ["linear", "quadratic", "power"])
def test_json(
    model: str,
    exported: Callable[..., str],
    client: MlflowClient,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its parameters predict what `predict` does; the roots of its variances are the record's `se_…`."""
    found = json.loads(exported(model, "json"))
    [run] = recorded(client, f"params.model = '{model}'")
    metrics = run.data.metrics
    x = (np.linspace(1, 9, 5) - found["shift"]) * found["scale"]
    params = list(found["parameters"].values())
    mine = params[0] * x ** params[1] if model == "power" else np.polyval(params, x)
    np.testing.assert_allclose(mine, answers(np.linspace(1, 9, 5), capsys, tmp_path, model), rtol=1e-12)
    if model != "power":  # whose errors on record are in raw units
        errors = [metrics[f"se_{name}"] for name in found["parameters"]]
        np.testing.assert_allclose(np.sqrt(np.diag(found["covariance"])), errors, rtol=1e-9)
    assert found["degrees_of_freedom"] == 9 - len(params)
    assert found["input"]["calibrated_range"] == [1, 9]
    assert (found["run"], found["data_digest"]) == (run.info.run_id, run.data.tags["data_digest"])


@pytest.mark.skipif(CC is None, reason="there is no C compiler")
@pytest.mark.parametrize("model", MODELS)
def test_c(
    model: str, exported: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Compiled without a warning; at 999 readings it is as near to `predict` as it says."""
    header = exported(model, "c")
    (tmp_path / "calibration.h").write_text(header)
    (tmp_path / "main.c").write_text(
        '#include "calibration.h"\n#include <stdio.h>\nint main(void) { float x; '
        'while (scanf("%f", &x) == 1) printf("%.9g\\n", (double)celsius_of_volt(x)); return 0; }\n'
    )
    readings = np.linspace(1, 9, 999).astype(np.float32).astype(float)
    build = [str(CC), "-std=c99", "-Wall", "-Wextra", "-Werror", "main.c", "-o", "main", "-lm"]
    subprocess.run(build, cwd=tmp_path, check=True)
    given = "\n".join(f"{each:.9g}" for each in readings)
    printed = subprocess.run(
        ["./main"], cwd=tmp_path, input=given, capture_output=True, text=True, check=True
    ).stdout
    off = np.abs(np.array(printed.split(), dtype=float) - answers(readings, capsys, tmp_path, model)).max()
    assert 0 < off <= stated(header) < 1e-4


def test_a_model_that_is_not_cs(folder: Path, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """A function of the user's own that C has no word for is refused, and as JSON it goes."""
    (folder / "bending.py").write_text(
        "import torch\n\n\ndef bent(t_u, w, b):\n    return w * torch.tanh(t_u / 50) + b\n"
    )
    own = (
        "model.function=bending.bent",
        "model.start.w=1",
        "model.start.b=0",
        "normalization=none",
        "lr=0.1",
    )
    assert command(*own) == 0
    capsys.readouterr()
    assert export.command(["best", "--format", "c"]) == 2
    assert "model=bending.bent cannot be written in C" in capsys.readouterr().err
    assert export.command(["best", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "bending.bent"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["best"], "--format"),
        (["best", "--format", "xml"], "give c, esphome or json"),
        (["last", "--format", "c"], "'last' is no calibration: give best"),
        (["models:/none/1", "--format", "c"], "models:/none/1 cannot be loaded"),
        (["0" * 32, "--format", "c"], "there is no run"),
    ],
)
@pytest.mark.usefixtures("client")
def test_mistakes(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.command(arguments) == 2
    assert words in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_a_registered_model(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """By its version, as the latest and by the id of its own, it is the run's calibration."""
    assert command("register=thermometer") == 0
    capsys.readouterr()
    texts = []
    for which in ("best", "models:/thermometer/1", "models:/thermometer"):
        assert export.command([which, "--format", "json"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] == texts[2]


def stated(text: str) -> float:
    """How far off the answers may be, as a text says."""
    return float(text.partition("within ")[2].split()[0])


def filtered(text: str, readings: np.ndarray) -> np.ndarray:
    """What ESPHome makes of readings: its Python finds the coefficients, its device computes in float.

    Source: `map_linear` and `calibrate_linear_compute` of its sensor component.
    """
    [(name, options)] = yaml.safe_load(text)["filters"][0].items()
    x, y = np.array([list(map(float, each.split(" -> "))) for each in options["datapoints"]]).T
    seen = readings.astype(np.float32)
    if name == "calibrate_polynomial":
        return np.polyval(np.polyfit(x, y, options["degree"]).astype(np.float32), seen)
    found = np.empty(len(seen))
    for start in range(len(x) - 1):  # each piece goes on to the end, until the next takes over
        slope = (y[start + 1] - y[start]) / (x[start + 1] - x[start])
        on = seen >= (np.float32(x[start]) if start else -np.inf)
        found[on] = seen[on] * np.float32(slope) + np.float32(y[start] - slope * x[start])
    return found


POINTS = {"linear": [2], "quadratic": [12], "exponential": [33, 65], "power": [9, 17]}


@pytest.mark.parametrize("model", POINTS)
def test_esphome_points(
    model: str, exported: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The filter made of the data points predicts as `predict` does, within what the block says."""
    text = exported(model, "esphome")
    [options] = yaml.safe_load(text)["filters"][0].values()
    readings = np.linspace(1, 9, 999)
    off = np.abs(filtered(text, readings) - answers(readings, capsys, tmp_path, model)).max()
    assert off <= stated(text) < 0.02
    assert len(options["datapoints"]) in POINTS[model]


@pytest.fixture
def offset(folder: Path, command: Command, capsys: pytest.CaptureFixture[str]) -> Callable[[float], None]:
    """Trains a line of 100 °C/V with a scatter of two degrees, over 0.08 V from a number of V on."""

    def train(volts: float) -> None:
        noise = [2.0, -1, -2, 1, 0, 2, -1, 0, -1]
        volt = np.linspace(0, 0.08, 9)
        data = pd.DataFrame({"volt": volt + volts, "celsius": 100 * volt + noise})
        data.to_csv(folder / "mine.csv", index=False)
        mine = ("data.path=mine.csv", "data.input=volt", "data.target=celsius")
        assert command(*mine, "normalization=zscore", "lr=0.1") == 0
        capsys.readouterr()

    return train


@pytest.mark.parametrize("format", ["c", "esphome"])
def test_readings_that_float_confuses(
    format: str, offset: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Floats near 10 million are 1 apart, so that every reading would have the same answer."""
    offset(1e7)
    assert export.command(["best", "--format", format]) == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert "subtract a constant from volt or celsius in the data" in printed.err
    assert export.command(["best", "--format", "json"]) == 0


def test_what_float_loses_is_stated(
    offset: Callable[[float], None], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Floats near 10,000 are 0.001 apart, a tenth of a degree here; the range is told in all its digits."""
    offset(1e4)
    assert export.command(["best", "--format", "esphome"]) == 0
    text = capsys.readouterr().out
    readings = np.linspace(1e4, 1e4 + 0.08, 999)
    off = np.abs(filtered(text, readings) - answers(readings, capsys, folder)).max()
    assert 0.04 < off <= stated(text) < 2
    assert "For volt from 10000 to 10000.08." in text


@pytest.mark.slow
def test_esphome_itself(
    exported: Callable[..., str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """ESPHome's own package takes the blocks, each of a sensor in a device of its `host` platform."""
    place = tmp_path_factory.mktemp("esphome")
    uv, binaries = [sys.executable, "-m", "uv"], place / "venv" / "bin"
    subprocess.run([*uv, "venv", "-q", place / "venv"], check=True)
    install = [*uv, "pip", "install", "-q", "--python", binaries / "python", "esphome>=2026.1"]
    subprocess.run(install, check=True, capture_output=True, timeout=1800)
    blocks = {model: exported(model, "esphome") for model in POINTS}
    sensors = (
        f"  - platform: template\n    name: {model}\n" + indent(block, " " * 4)
        for model, block in blocks.items()
    )
    (tmp_path / "device.yaml").write_text("esphome:\n  name: bench\nhost:\nsensor:\n" + "".join(sensors))
    check = [binaries / "esphome", "config", "device.yaml"]
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert "Configuration is valid!" in done.stdout + done.stderr, done.stdout + done.stderr
    taken = done.stdout.partition("sensor:")[2]
    filters = [next(iter(yaml.safe_load(block)["filters"][0])) for block in blocks.values()]
    assert re.findall(r"calibrate_\w+", taken) == filters  # of each block, not of the last alone
    shutil.rmtree(place)
