"""The tests of a fit and its columns, against values worked out at 100 digits."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from simulations._sets import fitted
from src.diagnostics.fitted import Fitted
from src.diagnostics.influence import columns
from src.diagnostics.lack_of_fit import LackOfFit, logarithm, powers, replicates, runs
from src.diagnostics.outliers import outlier
from src.fit.best_fit import best_fit
from src.fit.point import Point
from src.losses import mse
from src.models import MODELS
from tests.conftest import ROOT

# Source: mpmath at 100 digits, independent of this project; its key "about" defines each value
ORACLES: dict[str, Any] = json.loads((ROOT / "tests/oracles/statistics.json").read_text())
TESTED = {name: each for name, each in ORACLES.items() if "lack of fit" in each}
FILES = {"thermometer": "data/thermometer.csv", "norris": "tests/nist/norris.csv"}
FORMS: dict[str, tuple[str, Callable[..., torch.Tensor]]] = {
    "w*x + b": ("linear", MODELS["linear"]),
    "w2*x**2 + w1*x + b": ("quadratic", MODELS["quadratic"]),
    "w*x": ("proportional", lambda x, w: w * x),
    "a*exp(k*x) + b": ("exponential", MODELS["exponential"]),
    "a*x**k": ("power", MODELS["power"]),
    "1/(a + b*ln(x) + c*ln(x)**3) - 273.15": ("steinhart_hart", MODELS["steinhart_hart"]),
}
ALL = pytest.mark.parametrize("name", TESTED)


def fit_of(name: str) -> Fitted:
    """An oracle's data and the project's own best fit to them; weighted ones are polynomials."""
    oracle = ORACLES[name]
    if "data" in oracle:
        x, y = (np.array(oracle["data"][each], float) for each in "xy")
    else:
        x, y = np.loadtxt(ROOT / FILES[name.split(",")[0]], delimiter=",", skiprows=1, unpack=True)
    model, function = FORMS[oracle["model"]]
    given = oracle.get("start") or [0] * len(oracle.get("params (highest power first)", []))
    start = torch.tensor([float(each) for each in given], dtype=torch.float64)
    t_u, t_c = torch.tensor(x), torch.tensor(y)
    point = Point(function, mse, t_u, t_c, False, best_fit(function, mse, t_u, t_c, start).params)
    fit = Fitted(
        x,
        y,
        (y + point.residuals.numpy()),
        point.tangents.numpy(),
        lines=np.arange(2, len(x) + 2),
        model=model,
        is_polynomial=model in ("linear", "quadratic"),
        input="t_u",
        target="t_c",
    )
    if "sigma" not in oracle:
        return fit
    sigma = 0.5 + 0.02 * np.arange(len(x))
    return replace(fit, root=1 / sigma, is_absolute=oracle["sigma"] == "absolute")


def near(got: list[float | None], expected: list[str]) -> bool:
    """To 1e-8 of each, or of the largest of its kind."""
    numbers = np.array([float(each) for each in expected])
    return np.allclose(np.array(got, float), numbers, rtol=1e-8, atol=1e-8 * np.abs(numbers).max())


def agrees(got: LackOfFit | None, expected: dict[str, Any]) -> bool:
    assert got
    statistic = next(float(value) for key, value in expected.items() if key.startswith(("F", "chi2")))
    values = [(got.statistic, statistic), (got.p, float(expected["p"]))]
    if "rms_ratio" in expected:
        values.append((got.ratio, float(expected["rms_ratio"])))
    if "df" in expected:
        assert list(got.df) == expected["df"]
    if "powers" in expected:
        assert list(got.powers) == expected["powers"]
    return all(math.isclose(one, other, rel_tol=1e-8) for one, other in values)


@ALL
def test_other_shapes(name: str) -> None:
    """Powers and the logarithm: statistic, degrees of freedom, p and what they would leave."""
    fit, expected = fit_of(name), TESTED[name]["lack of fit"]
    if "next power" in expected:
        assert agrees(powers(fit, 1), expected["next power"])
        assert agrees(powers(fit, 2), expected["next two powers"])
    if "added term" in expected:  # the curves'
        assert agrees(powers(fit, 1), expected)
    if "logarithm of the reading" in expected:
        assert agrees(logarithm(fit), expected["logarithm of the reading"])


@ALL
def test_runs_of_signs(name: str) -> None:
    """The counts, and the exact probability of so few."""
    expected = TESTED[name]["lack of fit"].get("runs")
    if expected:
        *counts, p = runs(fit_of(name))
        assert counts == [expected[each] for each in ("positive", "negative", "runs")]
        assert p == pytest.approx(float(expected["p (so few or fewer)"]), rel=1e-12)


def test_pure_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Norris' replicates, with a single degree of freedom, are too few to be asked; asked, they are right."""
    fit, expected = fit_of("norris, linear"), TESTED["norris, linear"]["lack of fit"]["replicates"]
    assert replicates(fit) is None
    monkeypatch.setattr("src.diagnostics.lack_of_fit.PURE", 1)
    found = replicates(fit)
    assert agrees(found, expected)
    assert found
    assert found.ratio * fit.scale == pytest.approx(float(expected["pure_error_sd"]), rel=1e-8)


def test_pure_error_of_noisy_readings() -> None:
    """Of four readings at each of five reference values, by numpy; decades of readings are no replicates."""
    rng = np.random.default_rng(2)
    true = np.repeat([0.0, 5, 10, 15, 20], 4)
    fit = fitted("linear", true + rng.normal(0, 0.01, 20), true)
    line = np.polyfit(fit.t_u, true, 1)
    residuals = true - np.polyval(line, fit.t_u)
    pure = sum(((each - each.mean()) ** 2).sum() for each in residuals.reshape(5, 4))
    found = replicates(fit)
    assert found
    assert found.df == (3, 15)
    assert found.statistic == pytest.approx((residuals @ residuals - pure) / 3 / (pure / 15), rel=1e-6)
    decades = 20.0 ** np.arange(8)
    assert replicates(fitted("linear", decades, 2 * decades)) is None
    assert powers(fitted("linear", decades, 2 * decades + rng.normal(0, 1, 8)), 1) is not None


@pytest.mark.parametrize("name", [name for name in TESTED if "outlier" in TESTED[name]])
def test_farthest_reading(name: str) -> None:
    """Which reading is farthest off, by how much, and its p among N."""
    found, expected = outlier(fit_of(name)), TESTED[name]["outlier"]
    assert found
    assert found.places == (expected["index (from 0)"],)
    assert found.statistic == pytest.approx(float(expected["t"]), rel=1e-8)
    assert found.p == pytest.approx(float(expected["p (two-sided, times n)"]), rel=1e-7)


@ALL
def test_columns(name: str) -> None:
    """Leverages, studentized residuals and Cook's distances of each observation."""
    found, oracle = columns(fit_of(name)), TESTED[name]
    for column, key in {
        "leverage": "leverage" if "leverage" in oracle else "leverage (tangents)",
        "cook": "cooks_distance",
        "studentized_internal": "studentized_residuals (internal)",
        "studentized_external": "studentized_residuals (external)",
    }.items():
        assert key not in oracle or near(found[column], oracle[key]), column


@ALL
def test_left_out_residuals(name: str) -> None:
    """Their weighted mean square is the leave-one-out RMSE's."""
    fit, oracle = fit_of(name), TESTED[name]
    expected = oracle.get("loo_rmse") or oracle["loo_rmse (linearised, r/(1-h))"]
    loo, weights = np.array(columns(fit)["loo_residuals"], float), fit.weights**2
    assert math.sqrt(weights @ loo**2 / weights.sum()) == pytest.approx(float(expected), rel=1e-8)


def test_columns_without_a_value() -> None:
    """A reading that alone settles a parameter has no studentized residual, and three of a line no external.

    Source: at readings 1, 1, 1, 9 a line meets the last whatever it is.
    """
    x, y = np.array([1.0, 1, 1, 9]), np.array([1.0, 2, 4, 5])
    fit = Fitted(x, y, y, np.vander(x, 2), np.arange(2, 6), "linear", True, "t_u", "t_c")
    found = columns(fit)
    assert found["leverage"][3] == pytest.approx(1)
    assert [found[name][3] for name in list(found)[1:]] == [None] * 4
    three = columns(fit.without(np.array([False, False, True, False])))
    assert three["studentized_external"] == [None] * 3
    assert None not in three["studentized_internal"][:2]
    two = columns(fit.without(np.array([False, True, True, False])))
    assert two["cook"] == [None, None]


def test_far_readings() -> None:
    """A parabola's tests and columns keep their digits a million spans away from 0."""
    near_by = fit_of("thermometer, quadratic")
    x = np.round(near_by.t_u * 1024)  # exact wherever it is shifted to
    close = replace(near_by, t_u=x)
    far = replace(near_by, t_u=x + 2.0**36, tangents=np.vander(x + 2.0**36, 3))
    assert columns(far)["cook"] == pytest.approx(columns(close)["cook"], rel=1e-8)
    assert powers(far, 2).p == pytest.approx(powers(close, 2).p, rel=1e-8)  # type: ignore[union-attr]


def test_exact_line_far_off() -> None:
    """That predictions lose digits at a Unix time in milliseconds is no scatter of an exact line."""
    x, y = 1.7e12 + 15000 * np.arange(10.0), np.arange(10) / 10
    predictions = x / 150000 - 1.7e12 / 150000  # nine digits
    fit = Fitted(x, y, predictions, np.vander(x, 2), np.arange(2, 12), "linear", True, "t_u", "t_c")
    assert not np.array_equal(predictions, y)
    assert fit.is_exact
    assert columns(fit)["cook"] == [None] * 10
