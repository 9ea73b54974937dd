"""The right model, and what speaks against one, in the same words and with one answer everywhere."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from src import compare, predict
from src.tracking.dataset import DataSummary
from src.tracking.model_choice import Choice
from src.tracking.ranking import choice_of
from src.tracking.record import TrackedRun
from tests.record import is_parent, recorded

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
MINE = ("data.path=mine.csv", "data.input=x", "data.target=y", "normalization=zscore", "lr=auto")


def write(x: Sequence[float], y: Sequence[float]) -> None:
    rows = [f"{u!r},{c!r}" for u, c in zip(x, y, strict=True)]
    Path("mine.csv").write_text("\n".join(["x,y", *rows]) + "\n")


def test_one_answer(empty_folder: Path, command: Command, client: MlflowClient, capfd: Capture) -> None:
    """Of the thermometer's line and parabola the line, by AICc 21.2 against 22.8 (mpmath): everywhere."""
    del empty_folder
    flags = ("model=quadratic,linear", "normalization=zscore", "lr=0.1", "epochs=400")
    assert command("-m", *flags, "register=best") == 0
    told = capfd.readouterr().out
    assert "models by AICc: linear 21.2 (taken), quadratic 22.8" in told
    assert compare.command(["--format", "json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert [each["params"]["model"] for each in found] == ["linear", "quadratic"]
    line = found[0]["run_id"]
    assert client.get_model_version("best", "1").run_id == line
    [parent] = [run for run in recorded(client) if is_parent(run)]
    assert "Best is `lr=0.1 zscore 400`" in parent.data.tags["mlflow.note.content"]
    assert predict.command(["best", "35.7"]) == 0
    assert f"run {line}" in capfd.readouterr().err
    assert len(mlflow.pyfunc.load_model("models:/best/1").model_config["params"]) == 2


def test_parabola_where_it_is_one(
    empty_folder: Path, command: Command, client: MlflowClient, capfd: Capture
) -> None:
    """Once it is trained; before, that it is better is said, and the line is taken."""
    del empty_folder, client
    x = np.arange(1.0, 13)
    write(x.tolist(), (0.5 * x**2 + 0.1 * np.cos(9 * x)).tolist())
    assert command("-m", *MINE, "model=linear,quadratic", "epochs=2") == 0
    assert (
        "model=quadratic is better, but no run of it is trained enough: more epochs" in capfd.readouterr().out
    )
    assert command("-m", *MINE, "model=linear,quadratic", "epochs=300") == 0
    assert "models by AICc: quadratic" in capfd.readouterr().out


def test_thermistor_as_a_line(
    empty_folder: Path, command: Command, client: MlflowClient, capfd: Capture
) -> None:
    """Ten points of 10 kΩ from 0 to 50 °C: converged, and no line, for a logarithm would leave little."""
    del empty_folder
    kelvin = 273.15 + np.linspace(0, 50, 10)
    write(
        (1e4 * np.exp(3950 * (1 / kelvin - 1 / 298.15))).round(1).tolist(),
        (kelvin - 273.15).round(2).tolist(),
    )
    assert command(*MINE, "epochs=50") == 0
    told = capfd.readouterr().out
    assert "a logarithm of x would leave 3.5 % of the residuals" in told
    assert "try model=power or model=steinhart_hart" in told
    assert "a logarithm of x" in recorded(client)[0].data.tags["caution"]


def test_typing_error(empty_folder: Path, command: Command, client: MlflowClient, capfd: Capture) -> None:
    """74.1 as 741 in line 9: by how much it is off, and what is left without it."""
    del empty_folder
    y = [-100.9, -76.2, -51.0, -25.8, -1.1, 24.2, 48.9, 741, 98.8, 124.1]
    write(list(range(1, 11)), y)
    assert command(*MINE, "epochs=50") == 0
    said = "line 9 of the file is 3,593 standard deviations off (p = 3.4e-22"
    assert said in capfd.readouterr().out
    assert said in recorded(client)[0].data.tags["caution"]


def test_nothing_against_a_sound_line(
    empty_folder: Path, command: Command, client: MlflowClient, capfd: Capture
) -> None:
    """The chapter's readings, and NIST's Norris."""
    del empty_folder, client
    for flags in ((), ("data=norris",)):
        assert command("normalization=zscore", "lr=0.1", "epochs=400", *flags) == 0
        assert "caution" not in capfd.readouterr().out


def tracked(
    model: str, best_loss: float, error: float, left_out: Sequence[float] = (), **more: str
) -> TrackedRun:
    """A run of a model with 20 observations on record."""
    tags = {"outcome": "stopped", "data_digest": "d"}
    if left_out:
        tags["left_out_losses"] = json.dumps(list(left_out))
    params = {"model": model, "epochs": "5", "lr": "0.1"} | more
    metrics = {"best_loss": best_loss, "loss_gap": 0.0, "training_error": error}
    return TrackedRun(model, model, "FINISHED", params, metrics, tags, data=DataSummary(20, 10.0))


@pytest.mark.parametrize(
    ("loss", "taken"),
    # AICc of 20 observations: N ln L + 2p + 2p(p+1)/(N-p-1); a parabola pays 3.17 more, and 2 are the margin
    [(1.0, "linear"), (math.exp(-5.1 / 20), "linear"), (math.exp(-5.3 / 20), "quadratic")],
)
def test_margin(loss: float, taken: str) -> None:
    found = choice_of([tracked("linear", 1.0, 0.05), tracked("quadratic", loss, 0.05)])
    assert found
    assert found.taken
    assert found.taken.name == taken


@pytest.mark.parametrize(("error", "taken"), [(0.09, "quadratic"), (0.11, "linear")])
def test_only_what_is_trained(error: float, taken: str) -> None:
    found = choice_of([tracked("linear", 1.0, 0.05), tracked("quadratic", 0.1, error)])
    assert found
    assert found.taken
    assert found.taken.name == taken
    assert (found.untrained is None) == (error < 0.1)


@pytest.mark.parametrize(("gain", "taken"), [(0.4, "linear"), (0.6, "quadratic")])
def test_losses_left_out(gain: float, taken: str) -> None:
    """A difference of mean `gain` +- 0.25 (its standard error by hand): two of these are the margin."""
    scatter = 0.25 * math.sqrt(20) * math.sqrt(19 / 20)
    line = [3.0 + gain + scatter * (-1) ** each for each in range(20)]
    runs = [
        tracked("linear", 1.0, 0.05, line, loss="huber"),
        tracked("quadratic", 0.9, 0.05, [3.0] * 20, loss="huber"),
    ]
    found = Choice.of(runs)
    assert found.taken
    assert found.taken.name == taken


def test_too_few_to_tell(empty_folder: Path, command: Command, client: MlflowClient, capfd: Capture) -> None:
    """Four observations of a line: AICc is of one parameter alone, and that is said."""
    del empty_folder, client
    write([0, 1, 2, 3], [1.1, 2.9, 5.2, 6.8])
    assert command("-m", *MINE, "model=linear,quadratic", "epochs=100") == 0
    assert (
        "too few observations to tell, the fewest parameters are taken; linear (taken)"
        in capfd.readouterr().out
    )


def test_no_promise_under_another_loss() -> None:
    """What is not trained has no losses of observations left out, and is not called better."""
    runs = [
        tracked("linear", 1.0, 0.05, [1.0] * 20, loss="huber"),
        tracked("quadratic", 0.1, 5.0, loss="huber"),
    ]
    found = Choice.of(runs)
    assert (found.taken and found.taken.name, found.untrained) == ("linear", None)
