"""Each verdict for each kind of run: line, parabola and curve, under squares and huber's loss, in two dtypes.

One sweep on readings of an exponential, a long and a short run of each kind, as the store gives them back.
"""

import csv
import io
import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from mlflow import MlflowClient
from mlflow.entities import Run
from scipy import stats

from src import compare, predict, train
from src.config import check
from src.data import load
from src.fit.advice import next_tries
from src.fit.plan import Preparation
from src.fit.plan import Run as Prepared
from src.fit.training import calibrate
from src.models import MODELS
from src.package import CONF
from tests.conftest import working_folder
from tests.record import is_parent, recorded

MODEL = {
    "linear": ["model=linear"],
    "quadratic": ["model=quadratic"],
    "exponential": ["model=exponential", "model.start.a=2.2", "model.start.k=2.4", "model.start.b=0.9"],
}
LOSS = {"mse": ["loss=mse"], "huber": ["loss=huber", "loss.delta=0.5"]}
pytestmark = pytest.mark.slow
DTYPES = ("float32", "float64")
HOW = ["data.path=mine.csv", "data.input=u", "data.target=y", "normalization=minmax", "scaling=jacobian"]
KINDS = list(product(MODEL, LOSS, DTYPES))
EACH = pytest.mark.parametrize(("model", "loss", "dtype"), KINDS)
EVERY = pytest.mark.parametrize(("model", "loss", "dtype"), KINDS[::3])  # model; each loss in both dtypes
U = np.linspace(0, 10, 12)
Y = 2 * np.exp(0.25 * U) + 1 + np.random.default_rng(5).normal(0, 0.3, 12)


def write(y: np.ndarray, u: np.ndarray = U) -> None:
    pd.DataFrame({"u": u, "y": y}).to_csv("mine.csv", index=False)


def configs(*more: str) -> Iterator[object]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for model, loss, dtype in KINDS:
            yield compose("config", [*HOW, *MODEL[model], *LOSS[loss], f"dtype={dtype}", *more])


def prepared(model: str, loss: str, dtype: str, *more: str) -> Prepared:
    """One run of a kind on the readings in the working folder, not on record."""
    return with_overrides(*HOW, *MODEL[model], *LOSS[loss], f"dtype={dtype}", *more)


def with_overrides(*given: str) -> Prepared:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return Preparation(load).prepare(check(compose("config", list(given))))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Path:
    """A folder with the sweep: 3000 epochs, then 20, of each kind."""
    place = tmp_path_factory.mktemp("kinds")
    with pytest.MonkeyPatch.context() as patch:
        working_folder(place, patch)
        shutil.copy(migrated_store, "mlflow.db")
        write(Y)
        patch.setattr(sys, "stdout", io.StringIO())
        short, long = ["lr=0.01", "epochs=20"], ["lr=auto", "epochs=3000"]
        train.train([*configs(*long), *configs(*short)])
    return place


@pytest.fixture
def runs(swept: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> list[Run]:
    """The sweep's runs in their order; the test works in their folder."""
    monkeypatch.chdir(swept)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client = MlflowClient(f"sqlite:///{swept / 'mlflow.db'}")
    found = {run.info.run_id: run for run in recorded(client) if not is_parent(run)}
    capfd.readouterr()
    assert compare.command(["--format", "csv"]) == 0
    return [found[row["run_id"]] for row in csv.DictReader(io.StringIO(capfd.readouterr().out))]


def predicted(run: Run, u: np.ndarray) -> np.ndarray:
    """By the parameters on record, in float64."""
    params, metrics = run.data.params, run.data.metrics
    u = (u - float(params["normalization_shift"])) * float(params["normalization_scale"])
    names = [key.removeprefix("start_") for key in params if key.startswith("start_")]
    found = MODELS[params["model"]](
        torch.tensor(u), *(torch.tensor(metrics[f"trained_{name}"], dtype=torch.float64) for name in names)
    )
    return np.asarray(found)


def loss_of(run: Run) -> float:
    errors = predicted(run, U) - Y
    if run.data.params["loss"] == "mse":
        return float((errors**2).mean())
    within = np.clip(errors, -0.5, 0.5)
    return float((within * (errors - within / 2)).mean())


def test_final_numbers(runs: list[Run]) -> None:
    """Loss and gap are those of the parameters on record; the long runs have converged, the short not."""
    assert len(runs) == 2 * len(KINDS)
    for run in runs:
        metrics = run.data.metrics
        assert metrics["final_loss"] == pytest.approx(loss_of(run), rel=1e-12)
        assert metrics["loss_gap"] == pytest.approx(loss_of(run) - metrics["best_loss"], rel=1e-9, abs=1e-14)
        outcome = {"20": "stopped", "3000": "converged"}[run.data.params["epochs"]]
        assert run.data.tags["outcome"] == outcome


def test_one_order(runs: list[Run], swept: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In the table, as JSON, on the sweep's page, for `best` and for a model; by hand, from the rules."""
    order = [run.info.run_id for run in runs]

    def key(run: Run) -> tuple[object, ...]:
        params, metrics = run.data.params, run.data.metrics
        is_poor = metrics["training_error"] > 0.1
        # of two models with as many parameters, AICc decides, and the losses are far apart
        best = metrics["final_loss"] if is_poor else metrics.get("aicc", metrics["best_loss"])
        return params["loss"] != "mse", is_poor, round(best, 9), float(params["lr"]), run.info.run_name

    assert order == [run.info.run_id for run in sorted(runs, key=key)]
    assert compare.command(["--format", "json"]) == 0
    assert [row["run_id"] for row in json.loads(capfd.readouterr().out)] == order
    [page] = swept.glob("mlruns/**/runs.csv")
    assert pd.read_csv(page).run_id.tolist() == order
    assert predict.command(["best", "1"]) == 0
    assert f"run {order[0]}" in capfd.readouterr().err
    client = MlflowClient(f"sqlite:///{swept / 'mlflow.db'}")
    [model] = client.search_logged_models([runs[0].info.experiment_id])
    assert model.source_run_id == order[0]


def test_predictions(runs: list[Run], capfd: pytest.CaptureFixture[str]) -> None:
    """Of each run, in all digits, and on the way back."""
    for run in runs:
        assert predict.command([run.info.run_id, "3.25"]) == 0
        [row] = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
        assert float(row["y"]) == pytest.approx(predicted(run, np.array(3.25)), rel=1e-12)
        if run.data.tags["outcome"] == "converged":
            assert predict.command([run.info.run_id, "--inverse", row["y"]]) == 0
            [back] = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
            assert float(back["u"]) == pytest.approx(3.25, rel=1e-9)


def test_fingerprints(runs: list[Run]) -> None:
    """Each its own; what two share is the data and the functions of the same name, and can be told."""
    assert len({run.data.tags["fingerprint"] for run in runs}) == len(runs)
    assert len({run.data.tags["data_digest"] for run in runs}) == 1
    for one, other in product(runs, runs):
        codes = [json.loads(run.data.tags["code"]) for run in (one, other)]
        for part in ("model", "loss"):
            same = one.data.params[part] == other.data.params[part]
            assert (codes[0][part] == codes[1][part]) == same


def first_not_finite(run: Prepared) -> int:
    """In ten lines: the first epoch whose loss or update is not finite, 0 for none."""
    params, t_c = torch.tensor(run.settings.model.start_in_order).to(run.input.t_un), run.problem.t_c
    lr = (run.settings.lr * run.input.yardstick.scales**2).to(params)
    for epoch in range(1, run.settings.epochs + 1):
        params = params.detach().requires_grad_()
        loss = run.problem.loss(run.problem.model(run.input.t_un, *params), t_c.to(params))
        [slope] = torch.autograd.grad(loss, params)
        params = params - lr * slope
        if not (loss.isfinite() and params.isfinite().all()):
            return epoch
    return 0


@EACH
@pytest.mark.usefixtures("folder")
def test_the_epoch_of_divergence(model: str, loss: str, dtype: str) -> None:
    """The first that is not finite, whichever are recorded; a delta beyond all errors is that of squares.

    A curve's start is such that it leaves at once, with no plateau on the way.
    """
    write(Y)
    beyond = {"float32": "loss.delta=1e30", "float64": "loss.delta=1e200"}[dtype]
    more = [beyond] if loss == "huber" else []
    more += ["model.start.k=8"] if model == "exponential" else []
    lr = f"lr={10 * prepared(model, loss, dtype, *more, 'lr=1').limit}"
    runs = [prepared(model, loss, dtype, *more, lr, f"epochs={n}") for n in (900, 5000)]
    first = first_not_finite(runs[0])
    results = calibrate(runs)
    assert [(result.outcome, result.diverged_at) for result in results] == [("diverged", first)] * 2


@EACH
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("n", [0, 20], ids=["N=K", "exact"])
def test_exact_readings(n: int, model: str, loss: str, dtype: str) -> None:
    """On their curve but for rounding: converged, but where the dtype may resolve no more."""
    truth = {"linear": [2.0, 1.0], "quadratic": [1.0, 2.0, 1.0], "exponential": [2.0, 2.5, 1.0]}[model]
    u = np.linspace(0, 1, n or len(truth))
    write(np.asarray(MODELS[model](torch.tensor(u), *torch.tensor(truth, dtype=torch.float64))), u)
    run = prepared(model, loss, dtype, "lr=auto", "epochs=20000")
    [result] = calibrate([run])
    assert result.outcome == "converged" or (result.outcome == "stopped" and not run.resolves)
    assert list(result.trained.values()) == pytest.approx(
        truth, rel={"float32": 1e-3, "float64": 1e-9}[dtype]
    )
    assert not result.caution


@EACH
@pytest.mark.usefixtures("folder")
def test_noise_alone(model: str, loss: str, dtype: str) -> None:
    """Told under squares; the probability is scipy's, of the F test of all but the constant."""
    noise = np.random.default_rng(4).normal(0, 1, 12)
    write(noise)
    found = prepared(model, loss, dtype, "lr=0.1").input.yardstick
    if loss != "mse" or not found.fit.settled:
        assert math.isnan(found.by_chance)
        return
    n, k = len(noise), len(found.params)
    left, squares = found.fit.loss * n, float(((noise - noise.mean()) ** 2).sum())
    f = (squares - left) / (k - 1) / (left / (n - k))
    assert found.by_chance == pytest.approx(float(stats.f.sf(f, k - 1, n - k)), rel=1e-3)


@EACH
@pytest.mark.usefixtures("folder")
def test_advice(model: str, loss: str, dtype: str) -> None:
    """What is to be tried after a run that stopped short converges."""
    write(Y)
    run = prepared(model, loss, dtype, "lr=0.01", "epochs=20")
    tries = next_tries(run.settings, run.input.fitted, run.problem.pairs)
    assert tries
    for given in tries:
        [result] = calibrate([with_overrides(*(f"{key}={value}" for key, value in given.items()))])
        assert result.outcome == "converged", given


@EVERY
@pytest.mark.usefixtures("folder")
def test_best_of_an_edited_file(
    model: str, loss: str, dtype: str, command: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    """It is of the file as it is now: five higher, once some run is."""
    told = []
    for y in (Y, Y + 5):
        write(y)
        how = [*HOW, *MODEL[model], *LOSS[loss], f"dtype={dtype}", "lr=auto", "epochs=300"]
        assert command(*how) == 0
        capfd.readouterr()
        assert predict.command(["best", "3.25"]) == 0
        out, err = capfd.readouterr()
        told.append((float(out.splitlines()[1].split(",")[1]), err.splitlines()[0]))
    (before, first), (after, second) = told
    assert "left out" not in first
    assert second.endswith("; 1 run on other data left out")
    assert after == pytest.approx(before + 5, abs=1)
