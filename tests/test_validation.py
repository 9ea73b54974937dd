"""Observations that are held out: their loss stands beside the training's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from src.data import load
from src.settings import DataSettings
from tests.record import recorded

Command = Callable[..., int]
FLAGS = ("normalization=zscore", "lr=0.1", "epochs=300", "dtype=float64")


def thermometer(**more: object) -> DataSettings:
    return DataSettings(path="data/thermometer.csv", input="t_u", target="t_c", **more)


def test_held_out_by_lot(empty_folder: Path) -> None:
    """A fifth of eleven is two; which, the seed says; together they are the file."""
    del empty_folder
    whole = load(thermometer(), 2)
    parts = [load(thermometer(validation=0.2, seed=seed), 2) for seed in (0, 0, 1)]
    for part in parts:
        assert part.held_out
        assert (len(part.t_u), len(part.held_out.t_u)) == (9, 2)
        assert sorted([*part.lines, *part.held_out.lines]) == list(whole.lines)
        np.testing.assert_array_equal(whole.t_u[part.lines - 2], part.t_u)
    assert parts[0].digest == parts[1].digest != parts[2].digest


def test_loss_beside(empty_folder: Path, command: Command, client: MlflowClient) -> None:
    """At each recorded epoch, of the parameters there; at the end numpy's, of the line that was trained."""
    del empty_folder
    assert command(*FLAGS, "data.validation=0.2", "data.seed=1") == 0
    [run] = recorded(client)
    pairs = load(thermometer(validation=0.2, seed=1), 2)
    assert pairs.held_out
    metrics = run.data.metrics
    left = metrics["w"] * pairs.held_out.t_u + metrics["b"] - pairs.held_out.t_c
    assert metrics["final_validation_loss"] == pytest.approx((left**2).mean(), rel=1e-12)
    curves = {key: client.get_metric_history(run.info.run_id, key) for key in ("loss", "validation_loss")}
    steps = {key: [point.step for point in curve] for key, curve in curves.items()}
    assert steps["loss"] == steps["validation_loss"]
    scaled = (pairs.held_out.t_u - pairs.t_u.mean()) / pairs.t_u.std()
    first = ((scaled - pairs.held_out.t_c) ** 2).mean()  # the chapter starts at w = 1, b = 0
    assert curves["validation_loss"][0].value == pytest.approx(first, rel=1e-12)


def test_told(empty_folder: Path, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """A run on its own and its report say what was held out. Source: numpy, of the line by least squares."""
    (empty_folder / "new.csv").write_text("t_u,t_c\n50,9\n60,16\n")
    assert command(*FLAGS, "data.validation=new.csv") == 0
    pairs = load(thermometer(), 2)
    line = np.polyfit(pairs.t_u, pairs.t_c, 1)
    held_out = np.mean((np.polyval(line, [50, 60]) - [9, 16]) ** 2)
    trained = np.mean((np.polyval(line, pairs.t_u) - pairs.t_c) ** 2)
    said = f"loss {held_out:.4g} on the observations held out, {trained:.4g} on those trained on"
    assert f"validation   {said}\n" in capsys.readouterr().out
    [report] = empty_folder.glob("mlruns/*/*/artifacts/report.html")
    assert f"<dt>Validation</dt><dd>{said}</dd>" in report.read_text()


def test_another_file(empty_folder: Path, command: Command, client: MlflowClient) -> None:
    """The chapter's pairs train, another file's validate; another content of it is another run."""
    del client
    (empty_folder / "new.csv").write_text("t_u,t_c\n50,9\n")
    assert command(*FLAGS, "data.validation=new.csv") == 0
    (empty_folder / "new.csv").write_text("t_u,t_c\n50,8\n")
    assert command(*FLAGS, "data.validation=new.csv") == 0
    second, first = recorded(MlflowClient())
    losses = [run.data.metrics["final_validation_loss"] for run in (first, second)]
    predicted = first.data.metrics["w"] * 50 + first.data.metrics["b"]
    assert sorted(losses) == pytest.approx(sorted([(predicted - 9) ** 2, (predicted - 8) ** 2]))
    assert first.data.tags["fingerprint"] != second.data.tags["fingerprint"]
    assert first.data.tags["data_digest"] == second.data.tags["data_digest"]


@pytest.mark.parametrize(
    ("given", "said"),
    {
        "data.validation=1.5": "data.validation=1.5 is not a fraction: give one between 0 and 1",
        "data.validation=0.01": "of 11 observations is none: give 0.091 or more",
        "data.validation=0.95": "cannot settle 2 parameters",
        "data.validation=nowhere.csv": "data.validation=nowhere.csv: no such file",
        "data.validation=data/thermometer.csv": "holds what is trained on: give others, or a part, 0.2",
        "data.seed=1": "give data.validation=0.2",
    }.items(),
)
def test_mistakes(
    given: str, said: str, empty_folder: Path, command: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    del empty_folder
    assert command(*FLAGS, given) == 2
    assert said in capfd.readouterr().err


def test_no_value(empty_folder: Path, command: Command, capfd: pytest.CaptureFixture[str]) -> None:
    """A power of a negative reading is refused before training; the other points of a sweep go on."""
    del empty_folder
    Path("new.csv").write_text("t_u,t_c\n-1,9\n")
    flags = ("normalization=none", "lr=1e-9", "epochs=5", "data.validation=new.csv")
    assert command("-m", "model=power,linear", "model.start.k=0.9", *flags) == 1
    assert "model=power has no value at its start" in capfd.readouterr().err
