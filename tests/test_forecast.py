"""What a dry run foretells, against the same runs trained."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from src.data import load
from src.fit.forecast import Forecast, forecast
from src.fit.plan import Preparation, Run
from src.fit.training import calibrate
from src.settings import Settings
from tests.browser import SWEEP
from tests.test_verdicts import prepared

Command = Callable[..., int]


def thermometer(**given: object) -> Run:
    """A run of the chapter's, prepared."""
    settings = {
        "lr": 1e-2, "epochs": 5000, "normalization": {"name": "zscore"}, "dtype": "float64", "device": "cpu",
        "model": {"name": "linear", "start": {"w": 1, "b": 0}}, "tracking": {"experiment": "none"},
        "data": {"path": "data/thermometer.csv", "input": "t_u", "target": "t_c"},
    }  # fmt: skip
    return Preparation(load).prepare(Settings.model_validate(settings | given))


def one(**given: object) -> Forecast:
    return forecast([thermometer(**given)])[0]


def rows(output: str) -> list[list[str]]:
    return [line.split() for line in output.splitlines() if line.strip()[:1].isdigit()]


def _is_number(text: str) -> bool:
    return text[0].isdigit()


def test_the_readmes_sweep(folder: Path, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """Every point comes to what was foretold, in the order that was: its gap, the epoch it diverges at."""
    assert command(*SWEEP, "dry=true") == 0
    foretold = capsys.readouterr().out
    assert "12 points: 4 will converge, 4 will stop short of convergence, 4 will diverge" in foretold
    assert command(*SWEEP) == 0
    table = pd.DataFrame(
        [
            {"lr": float(run.data.params["lr"]), "epochs": int(run.data.params["epochs"])}
            | {"normalization": run.data.params["normalization"], **run.data.tags, **run.data.metrics}
            for run in MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_runs(["1"])
            if "outcome" in run.data.tags
        ]
    )
    gaps = 0
    for lr, epochs, normalization, *found in rows(foretold)[:12]:
        [run] = table[
            (table.lr == float(lr)) & (table.epochs == int(epochs)) & (table.normalization == normalization)
        ].to_dict("records")
        if run["outcome"] == "diverged":
            assert found[-4:] == ["diverges", "at", "epoch", f"{run['diverged_at']:.0f}"]
            assert found[1] == "never"
        elif run["outcome"] == "converged":
            assert found[-1] == "converges"
            assert int(found[1]) <= int(epochs)
        else:
            assert found[-2:] == ["stops", "short"]
            assert int(found[1]) > int(epochs)
        if run["outcome"] != "diverged" and _is_number(found[2]):
            assert float(found[2]) == pytest.approx(run["loss_gap"], rel=0.01)
            gaps += 1
    assert gaps >= 4


def test_nothing_is_left_behind(
    empty_folder: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """No store, no file, no model: of a run and of a sweep, with a name to register."""
    before = sorted(empty_folder.rglob("*"))
    assert command("dry=true", "register=thermometer") == 0
    assert command(*SWEEP, "dry=true", "register=thermometer") == 0
    assert sorted(empty_folder.rglob("*")) == before
    assert capsys.readouterr().out.count("nothing is on record") == 2


@pytest.mark.parametrize(
    "seeds", [range(40), *(pytest.param(range(n, n + 60), marks=pytest.mark.slow) for n in (40, 100))]
)
def test_random_problems(seeds: range, tmp_path: Path) -> None:
    """In float64 a quadratic loss ends as foretold, but where rounding is about to decide."""
    runs = [run for run in prepared(seeds, tmp_path)[0] if run.settings.dtype == "float64"]
    exact = [(run, each) for run, each in zip(runs, forecast(runs), strict=True) if each.is_exact]
    results = calibrate([run for run, _ in exact])
    assert len(exact) >= 10
    for (run, expected), result in zip(exact, results, strict=True):
        assert expected.outcome == result.outcome, run.settings
        assert expected.diverged_at == result.diverged_at
        if np.isfinite(expected.gap):
            assert expected.gap == pytest.approx(result.loss_gap, rel=0.01)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"lr": 0.9},
        {"normalization": {"name": "scale", "factor": 0.1}, "lr": 0.03},
        {"model": {"name": "quadratic", "start": {"w2": 0, "w1": 1, "b": 0}}, "lr": 0.1},
        {"data": {"path": "data/thermometer.csv", "input": "t_u", "target": "t_c", "sigma": 0.5}},
        {"scaling": "jacobian", "lr": 0.3, "normalization": {"name": "none"}},
        {"scaling": "start", "model": {"name": "linear", "start": {"w": 3, "b": -20}}, "lr": 1e-3},
    ],
)
def test_enough_epochs(given: dict[str, object]) -> None:
    """So many converge, and a few less do not: the estimate of rounding makes it one or two too many."""
    enough = one(**given).enough
    assert 4 < enough < 1e6
    few, many = (thermometer(**given, epochs=epochs) for epochs in (int(0.99 * enough) - 2, int(enough)))
    assert [each.outcome for each in calibrate([few, many])] == ["stopped", "converged"]


def test_what_cannot_be_reached() -> None:
    """Beyond the limit, and where float32 does not resolve so small a gap, no number of epochs is enough."""
    assert one(lr=1.01).enough == np.inf
    there = one(lr=1e-4, normalization={"name": "none"}, dtype="float32", epochs=10**9)
    assert (there.outcome, there.enough) == ("stopped", np.inf)
    assert one(lr=1e-4, normalization={"name": "none"}, epochs=10**9).outcome == "converged"


def test_losses_without_a_curvature() -> None:
    """Nothing is foretold of absolute errors; of huber, by its curvature, that is said to be an estimate."""
    assert one(loss={"name": "mae"}).outcome is None
    near = one(loss={"name": "huber", "delta": 1})
    assert not near.is_exact
    assert np.isnan(near.gap)


@pytest.mark.slow
@pytest.mark.usefixtures("empty_folder")
def test_any_launcher(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """Where jobs run one by one the forecast is the same."""
    lines = []
    for launcher in ("batch", "basic"):
        assert command("-m", "lr=1e-2,1e-3", "dry=true", f"hydra/launcher={launcher}") == 0
        lines.append(rows(capsys.readouterr().out))
    assert lines[0] == lines[1]
    assert len(lines[0]) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-m", "dry=true,false"), "dry=true,false: a sweep is trained, or it is forecast"),
        (("-m", "lr=1e-2,1e-3", "dry=true", "resume=true"), "leave resume out"),
        (("-m", "lr=1e-2,-1", "dry=true"), "lr=-1 is not allowed"),
        (("dry=true", "data.path=none.csv"), "no such file"),
        (("dry=maybe",), "dry=maybe is not allowed: give true or false"),
        (("-m", "data=thermometer,norris", "dry=true", "register=two"), "data sets"),
    ],
)
@pytest.mark.usefixtures("empty_folder")
def test_mistakes(
    arguments: tuple[str, ...], words: str, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever would be refused before training is refused in a dry run, too."""
    assert command(*arguments) == 2
    assert words in capsys.readouterr().err
