"""Advice is followed, and does what it promised; limits that comments give are those measured."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from torch import Tensor

import src.launch  # noqa: F401 - room for functions of one's own
from src.config import ConfigError, check
from src.data import load
from src.fit.advice import next_tries
from src.fit.metrics import of
from src.fit.plan import Preparation
from src.fit.result import GROWN, Result
from src.fit.schedule import curve_schedule
from src.fit.training import calibrate
from src.fit.yardstick import CLOSE
from src.models import Model
from src.package import CONF
from src.report import screen
from src.settings import DataSettings
from tests.conftest import ROOT

NORRIS = DataSettings(path=str(ROOT / "data" / "norris.csv"), input="x", target="y")
LONGEST = 20_000  # epochs; advice to train for longer is true as well
RATES = {
    ("linear", "none"): "1e-4",
    ("linear", "scale"): "1e-2",
    ("quadratic", "none"): "1e-8",
    ("quadratic", "scale"): "1e-5",
}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """One run with these overrides, not on record."""
    monkeypatch.chdir(ROOT)

    def run(*words: str) -> Result:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            settings = check(compose("config", list(words)))
        [result] = calibrate([Preparation(load).prepare(settings)])
        return result

    return run


@pytest.fixture(params=[1.0, 1e-4], ids=["noisy", "quiet"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A line with noise of this size over a span of 35: for the quiet one float32 hardly suffices."""
    t_u = np.linspace(20, 90, 15)
    t_c = 0.5 * t_u - 17 + np.random.default_rng(1).normal(0, request.param, 15)
    pd.DataFrame({"t_u": t_u, "t_c": t_c}).to_csv(tmp_path / "mine.csv", index=False)
    return f"data.path={tmp_path}/mine.csv"


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["mse", "huber"])
@pytest.mark.parametrize(
    ("data", "dtype"), [(1.0, "float32"), (1.0, "float64"), (1e-4, "float32")], indirect=["data"]
)
@pytest.mark.parametrize("normalization", ["zscore", "scale", "none"])
@pytest.mark.parametrize("model", ["linear", "quadratic"])
def test_advice_converges(
    model: str, normalization: str, dtype: str, loss: str, data: str, trained: Callable[..., Result]
) -> None:
    """Of a run of 20 epochs, far from enough."""
    lr = RATES.get((model, normalization), "0.05")
    how = (f"model={model}", f"normalization={normalization}", f"dtype={dtype}", f"loss={loss}")
    first = trained(data, *how, f"lr={lr}", "epochs=20").run
    tries = next_tries(first.settings, first.input.fitted, first.problem.pairs)
    assert tries or loss == "huber", "under squares there is always one"
    for advised in tries:
        if int(advised["epochs"]) <= LONGEST:
            assert trained(*(f"{key}={value}" for key, value in advised.items())).outcome == "converged"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("model", "normalization"), [("linear", "scale"), ("linear", "zscore"), ("quadratic", "zscore")]
)
def test_what_a_stopped_run_needs(
    model: str, normalization: str, dtype: str, data: str, trained: Callable[..., Result]
) -> None:
    """It converges in the epochs that are enough, at the largest lr too; where float32 cannot, in float64."""
    lr = RATES.get((model, normalization), "0.05")
    how = (data, f"model={model}", f"normalization={normalization}")
    told = trained(*how, f"dtype={dtype}", f"lr={lr}", "epochs=20").outlook
    if told == "float32 may be too coarse to come closer; try dtype=float64":
        dtype, told = "float64", trained(*how, "dtype=float64", f"lr={lr}", "epochs=20").outlook
    epochs, largest = re.fullmatch(r"([\d,]+) epochs are enough(?:, fewer .* up to (\S+))?", told).groups()
    epochs = epochs.replace(",", "")
    for rate in filter(None, (lr, largest)):
        result = trained(*how, f"dtype={dtype}", f"lr={rate}", f"epochs={epochs}")
        assert result.outcome == "converged", (told, rate)


FLOWS = np.array([1.0, 2, 5, 10, 20, 50, 100, 200, 500])
FAR = {  # from the start that the project gives
    "a flow meter's litres": ("power", FLOWS, 3.2 * FLOWS**0.51 * np.resize([1.003, 0.998, 1.001], 9)),
    "a thermistor's °C": (
        "steinhart_hart",
        np.array([32650.0, 19900, 12490, 8057, 5327, 3603]),
        np.array([0.02, 10.01, 19.98, 30.03, 39.99, 50.01]),
    ),
}


@pytest.mark.parametrize("kind", FAR)
def test_advice_of_a_far_start(kind: str, tmp_path: Path, trained: Callable[..., Result]) -> None:
    """Where no training from a start will do, one near the best fit does."""
    model, t_u, t_c = FAR[kind]
    pd.DataFrame({"t_u": t_u, "t_c": t_c}).to_csv(tmp_path / "mine.csv", index=False)
    words = (f"data.path={tmp_path}/mine.csv", f"model={model}", "normalization=none", "lr=auto", "epochs=50")
    first = trained(*words).run
    [advised] = next_tries(first.settings, first.input.fitted, first.problem.pairs)
    assert advised["scaling"] == "jacobian"
    assert trained(*(f"{key}={value}" for key, value in advised.items())).outcome == "converged"


NEAR = ["model.start.a=38", "model.start.b=-42", "model.start.k=0.6"]  # the thermometer's exponential
NEARER = "try a nearer model.start"
BEYOND = {
    "line": ["normalization=none", "lr=1e-2"],
    "parabola": ["model=quadratic", "normalization=minmax", "lr=30"],
    "curve": ["model=exponential", "normalization=minmax", *NEAR, "lr=0.01"],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["mse", "huber"])
@pytest.mark.parametrize("kind", BEYOND)
def test_what_a_run_beyond_the_limit_needs(
    kind: str, loss: str, dtype: str, trained: Callable[..., Result]
) -> None:
    """The limit that is told is stable, and so is the run's own lr under the normalization that is named."""
    words = [*BEYOND[kind], f"loss={loss}", f"dtype={dtype}", "epochs=100"]
    found = trained(*words).reason
    limit = re.search(r"times the limit (\S+) of this input", found.cause)[1]
    others = re.findall("normalization=zscore", found.advice)
    assert found.advice.startswith("use a smaller lr")
    for word in (f"lr={limit}", *others):
        longer = trained(*words, word)
        assert (longer.outcome, longer.reason) in [("stopped", None), ("converged", None)], word
        assert longer.final_loss <= longer.losses[0]


@pytest.mark.parametrize(
    ("words", "advice", "followed"),
    [
        ("model.start.w=1e30", NEARER + " or dtype=float64", ["model.start.w=1e3", "dtype=float64"]),
        ("model.start.w=1e30 lr=1", NEARER + " or dtype=float64", ["model.start.w=1e3 lr=1e-2"]),
        ("model=exponential normalization=minmax model.start.k=60 lr=1e-4", NEARER,
         [" ".join(NEAR)]),
        ("loss=mae lr=1e3 model.start.w=5.3 model.start.b=-17", "use a smaller lr", ["lr=1e-3"]),
    ],
)  # fmt: skip
def test_what_other_runs_that_diverged_need(
    words: str, advice: str, followed: list[str], trained: Callable[..., Result]
) -> None:
    """Out of the range of float32 at the start; absolute errors, which know no limit."""
    result = trained("epochs=50", *words.split())
    assert (result.outcome, result.reason.advice) == ("diverged", advice)
    for way in followed:
        assert trained("epochs=50", *words.split(), *way.split()).outcome in ("stopped", "converged")


def twins(t_u: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return (a + b) * t_u + c


def factors(t_u: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return a * b * t_u + c


def twice_twins(t_u: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    return (a + b) * t_u + c + d


def idle(t_u: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return a * t_u + b + 0 * c


@pytest.mark.parametrize(
    ("model", "starts", "told"),
    [
        (twins, "abc", "cannot tell a and b apart: leave one of them out of the model, or fix it"),
        (factors, "abc", "cannot tell a and b apart: leave one of them out of the model, or fix it"),
        (twice_twins, "abcd", "cannot tell a and b nor c and d apart: leave 2 of them out"),
        (idle, "abc", "no prediction depends on c at the lowest loss found: leave it out"),
    ],
)
def test_parameters_that_are_too_many(
    model: Model, starts: str, told: str, trained: Callable[..., Result]
) -> None:
    """They are named, and no best value nor uncertainty of them is on record."""
    words = [f"model.function={__name__}.{model.__name__}", "normalization=zscore"]
    words += [f"model.start.{name}=1" for name in starts]
    result = trained(*words, "lr=0.05", "epochs=2")
    assert result.outcome == "stopped"
    assert told in str(result.reason)
    assert not [name for name in of(result) if name.startswith(("se_", "best_", "loss_gap", "training_"))]
    with pytest.raises(ConfigError, match=r"lr=auto: .*, or give a number"):
        trained(*words, "lr=auto")


def test_a_rate_at_the_limit(trained: Callable[..., Result]) -> None:
    """The limit of a z-scored line is 1, and each step lands as far on the other side; below it descends."""
    assert str(trained("normalization=zscore", "lr=1").reason) == (
        "lr 1 is at the limit 1 of this input: use a smaller lr"
    )
    assert trained("normalization=zscore", "lr=0.99").outcome == "converged"


@pytest.mark.parametrize(
    ("file", "words", "number"),
    [
        ("model/quadratic.yaml", ["model=quadratic", "normalization=zscore"], r"stable below ([\d.e-]+);"),
        ("model/quadratic.yaml", ["model=quadratic", "normalization=none"], r"input below ([\d.e-]+)\)"),
        ("normalization/none.yaml", ["normalization=none"], r"the limit is ([\d.e-]+)\)"),
        ("normalization/zscore.yaml", ["normalization=zscore"], r"any lr < ([\d.e-]+) is stable"),
    ],
)
def test_limits_in_comments(file: str, words: list[str], number: str, trained: Callable[..., Result]) -> None:
    """To the digits that the comment gives; the limit is 2 over the largest curvature at the best fit."""
    [told] = re.findall(number, (CONF / file).read_text())
    limit = trained(*words, "lr=1e-9", "epochs=1").run.limit
    digits = len(told.partition("e")[0].replace(".", "").lstrip("0"))
    assert float(told) == float(f"{limit:.{digits}g}")


def test_the_books_numbers_in_its_comment(trained: Callable[..., Result]) -> None:
    told = (CONF / "experiment/book.yaml").read_text()
    result = trained("+experiment=book")
    params = ", ".join(f"{value:.4f}" for value in result.trained.values())
    assert f"Ends at loss {result.losses[-1]:.6f} with params [{params}]." in told


@pytest.mark.parametrize(
    ("file", "number"),
    [
        ("conf/data/norris.yaml", f"{len(load(NORRIS, 2).t_u)} pairs"),
        ("conf/tracking/mlflow.yaml", {50: "about fifty for 5000 epochs"}[len(curve_schedule(5000))]),
        ("README.md", {50: "about fifty points"}[len(curve_schedule(5000))]),
        ("README.md", {12: "of the best on each data set (of a dozen)"}[screen.MOST_TABLES]),
        ("README.md", {1e-4: "within a hundredth of a standard error"}[CLOSE]),
        ("README.md", {10: "a loss that grew tenfold"}[GROWN]),
        ("docs/decisions/17-verdicts.md", {1e-4: "within a hundredth of a\nstandard error"}[CLOSE]),
        ("docs/decisions/17-verdicts.md", {10: "a final loss above ten times the first"}[GROWN]),
    ],
)
def test_numbers_in_words(file: str, number: str) -> None:
    """Those that the code has."""
    assert number in (ROOT / file).read_text()
