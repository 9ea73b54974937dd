"""Advice is followed, and does what it promised; limits that comments give are those measured."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

import src.launch  # noqa: F401 - room for functions of one's own
from src.config import check
from src.data import load
from src.fit.advice import next_tries
from src.fit.plan import Preparation
from src.fit.result import Result
from src.fit.training import calibrate
from src.package import CONF
from tests.conftest import ROOT

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
@pytest.mark.parametrize("dtype", ["float32", "float64"])
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
