"""What is told of fits whose fault is known, and that nothing is told of sound ones."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from simulations._sets import fitted
from src.diagnostics.findings import Finding, findings
from src.diagnostics.fitted import Bools, Fitted, Floats
from src.diagnostics.shape import repeated_ends
from src.fit.best_fit import best_fit
from src.fit.point import Point
from src.losses import mse
from src.models import MODELS
from tests.conftest import ROOT
from tests.test_lack_of_fit import fit_of

X = np.arange(1.0, 11)
SENSOR = np.array(
    [-100.9, -76.2, -51.0, -25.8, -1.1, 24.2, 48.9, 74.1, 98.8, 124.1]
)  # the oracles' sound one


def read(path: str) -> tuple[Floats, Floats]:
    t_u, t_c = np.loadtxt(ROOT / path, delimiter=",", skiprows=1, unpack=True)
    return t_u, t_c


def rounded(model: str, t_u: Floats, sd: float, decimals: int, seed: int) -> Fitted:
    """A true curve of normal scatter, written to so many decimals."""
    true = 20 - 0.5 * t_u + (0.01 * t_u**2 if model == "quadratic" else 0)
    return fitted(model, t_u, np.round(true + np.random.default_rng(seed).normal(0, sd, len(t_u)), decimals))


def only(fit: Fitted) -> Finding:
    (found,) = findings(fit)
    return found


def with_values(values: dict[int, float]) -> Fitted:
    """The sound sensor's line with some reference values changed, by place."""
    t_c = SENSOR.copy()
    t_c[list(values)] = list(values.values())
    return fitted("linear", X, t_c)


SOUND: dict[str, Callable[[], Fitted]] = {
    "thermometer": lambda: fit_of("thermometer, linear"),
    "thermometer's parabola": lambda: fit_of("thermometer, quadratic"),
    "sensor": lambda: fit_of("sensor, linear, sound"),
    "Pt100's parabola": lambda: fit_of("pt100, quadratic"),
    "Steinhart-Hart": lambda: fit_of("thermistor 10k, steinhart_hart, T in degC to 0.1"),
    "line of 5": lambda: rounded("linear", np.linspace(0, 40, 5), 0.2, 1, 1),
    "line rounded to its scatter": lambda: rounded("linear", np.linspace(0, 40, 20), 0.3, 0, 2),
    "line of 50": lambda: rounded("linear", np.geomspace(1, 1000, 50), 0.2, 2, 3),
    "parabola of 8": lambda: rounded("quadratic", np.linspace(1, 9, 8), 0.05, 2, 4),
    "replicates at both ends": lambda: rounded("linear", np.repeat([0.0, 5, 10, 15], 3), 0.2, 1, 5),
    "exact line": lambda: fitted("linear", X, 0.1 * X + 0.7),
    "exact line far off": lambda: fitted("linear", 1.7e12 + 15000 * X, np.round(X / 10, 1)),
    "Norris": lambda: fitted("linear", *read("tests/nist/norris.csv")),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound(name: str) -> None:
    """Nothing is told of a sound calibration."""
    assert findings(SOUND[name]()) == []


def test_thermistor_as_a_line() -> None:
    """Ten readings of a thermistor, 0 to 100 °C, taken for a line: the logarithm speaks, with what to try.

    Source: a common 10 kΩ thermistor by Steinhart and Hart's equation; 0.0598 by numpy.linalg.lstsq.
    """
    ohms = np.array([32600.0, 22500, 15700, 11250, 8060, 5900, 4370, 2490, 1260, 679])
    t_c = np.round(1 / (1.129148e-3 + 2.34125e-4 * np.log(ohms) + 8.76741e-8 * np.log(ohms) ** 3) - 273.15, 1)
    found = only(fitted("linear", ohms, t_c))
    assert found.kind == "logarithm"
    assert found.sentence.startswith("a logarithm of t_u would leave 6 % of the residuals")
    assert found.sentence.endswith("try model=power or model=steinhart_hart")


def test_parabola_as_a_line() -> None:
    """A Pt100's bend: what the parabola would leave, in words. Source: the oracles' ratio and p."""
    found = only(fit_of("pt100, linear"))
    assert (found.kind, found.lines) == ("next power", ())
    assert found.sentence == (
        "a parabola would leave 9.2 % of the residuals (standard deviation 0.0556 instead of 0.603, "
        "p = 8.9e-10): try model=quadratic"
    )


def test_typing_error() -> None:
    """741 for 74.1: its line in the file, how far it is off, and what is left without it."""
    found = only(with_values({7: 741}))
    assert found.lines == (9,)
    assert found.sentence == (
        "line 9 of the file is 3,593 standard deviations off (p = 3.4e-22; standard deviation 0.169 "
        "instead of 214 without it): look at it"
    )


def test_no_outlier_of_a_wrong_curve() -> None:
    """A straight line through a steep curve's start leaves its last reading far off: the curve speaks."""
    fit = fitted("linear", X, np.round(np.exp(X), 1))
    assert [found.kind for found in findings(fit)] == ["next two powers"]


def test_curve_behind_an_outlier() -> None:
    """Where a reading is off and set aside, the curve of the others is told next. Source: x**2/50 and 99."""
    t_c = np.round(X**2 / 50 + 0.02 * np.sin(9 * X), 2)
    t_c[4] = 99
    assert [found.kind for found in findings(fitted("linear", X, t_c))] == ["outlier", "next power"]


def test_three_outliers() -> None:
    """Several are told one after the other, each with its line; a fourth is no matter of single readings."""
    t_u = np.linspace(1, 10, 40)
    t_c = np.round(2 * t_u + 0.1 * np.sin(37 * t_u), 2)
    t_c[[5, 15, 25, 35]] += [10, 100, 1000, 10000]
    told = findings(fitted("linear", t_u, t_c))
    assert [found.lines for found in told if found.kind == "outlier"] == [(37,), (27,), (17,)]


def test_swapped_lines() -> None:
    """Two lines whose values were swapped hide each other, and are told as that."""
    found = only(with_values({2: 74.1, 7: -51.0}))
    assert (found.kind, found.lines) == ("swapped", (4, 9))
    assert found.sentence.startswith("lines 4 and 9 of the file seem to be swapped")


def test_two_off_together() -> None:
    """Two that would not fit in each other's place are not called swapped."""
    found = only(with_values({2: 60.0, 7: -10.0}))
    assert (found.kind, found.lines) == ("outliers", (4, 9))


def test_rounded_values() -> None:
    """Values that agree because they are rounded make no outlier of the next step. Source: steps of 0.5."""
    t_c = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 3.0, 3.5, 4.0, 4.5])
    assert findings(fitted("linear", X, t_c)) == []


@pytest.mark.parametrize("step", [0.1, 1, 10])
def test_set_points(step: float) -> None:
    """That set points are multiples of something does not hide a reading that is a fifth of it off."""
    t_u = X + np.array([3, -2, 1, -3, 2, 200, -1, 3, -2, 1]) * 1e-3
    assert only(fitted("linear", t_u, np.round(step * X, 1))).lines == (7,)


def test_curve_of_set_points() -> None:
    """Nor does it hide a curve: a Pt100 at 0, 10, ... 100 °C, whose bend is 0.15 °C. Source: IEC 60751."""
    t_c = np.arange(0, 101.0, 10)
    fit = fitted("linear", np.round(100 * (1 + 3.9083e-3 * t_c - 5.775e-7 * t_c**2), 2), t_c)
    assert only(fit).kind == "next power"


def test_replicates() -> None:
    """Readings that repeat well, on a curve that no power or logarithm is: their scatter speaks."""
    t_u = np.repeat(np.arange(0.0, 16), 2)
    scatter = np.resize([0.01, -0.01, -0.02, 0.02], 32)
    fit = fitted("linear", t_u, np.round(2 * t_u + np.cos(2.6 * t_u) / 2 + scatter, 3))
    assert [found.kind for found in findings(fit)] == ["replicates"]


def test_copied_rows() -> None:
    """Rows that were copied are no replicates, whose scatter would be 0."""
    line = rounded("linear", np.linspace(0, 40, 9), 0.2, 1, 6)
    assert findings(fitted("linear", np.repeat(line.t_u, 2), np.repeat(line.t_c, 2))) == []


def test_runs() -> None:
    """Residuals that keep their sign for long: five waves along 60 readings, which no power shows."""
    t_u = np.linspace(0, 10, 60)
    noise = np.random.default_rng(0).normal(0, 0.02, 60)
    fit = fitted("linear", t_u, 5 * t_u + np.sin(2 * np.pi * t_u / 2) / 4 + noise)
    assert [found.kind for found in findings(fit)] == ["runs"]
    assert "runs, where 31 are usual" in findings(fit)[0].sentence


@pytest.mark.parametrize("end", [1, -1])
@pytest.mark.parametrize("shared", [2, 3, 5])
def test_saturation(end: int, shared: int) -> None:
    """An instrument at the end of its range repeats one reading: named, with its lines, and nothing else."""
    t_c = np.arange(0.0, 75, 5)
    t_u = np.minimum(np.round(20 * t_c + np.resize([1, -1, 0, 2, -2], 15)), 20 * t_c[15 - shared] - 30)
    found = only(fitted("linear", end * t_u, t_c))
    assert found.kind == "saturation"
    assert found.lines == tuple(range(17 - shared, 17))
    assert found.sentence.endswith("the end of the instrument's range: leave these lines out")


NOISE = np.array([-4, 2, -3, 0, 4, 1, 3, -1, 0, 2]) * 1e-4


@pytest.mark.parametrize("end", [1, -1])
@pytest.mark.parametrize("shared", [2, 3, 6])
def test_saturation_with_noise(end: int, shared: int) -> None:
    """A load cell whose amplifier is at its end, where readings differ by noise alone."""
    force = np.arange(0.0, 80 + 5 * shared, 5)
    signal = np.minimum(0.02 * force, 1.55) + np.resize(NOISE, len(force))
    found = only(fitted("linear", end * signal, force))
    assert found.kind == "saturation"
    assert found.lines == tuple(range(18, 18 + shared))
    assert re.match(rf"t_u is -?1\.\d+ to -?1\.\d+ for {shared} reference values from 80 to", found.sentence)


def test_noisy_replicates_are_no_saturation() -> None:
    """Readings that differ by noise at every set point, of 3 points or 6, are sound."""
    rng = np.random.default_rng(0)
    for points, model in ((3, "linear"), (6, "linear"), (4, "quadratic"), (8, "quadratic")):
        for _ in range(250):
            true = np.repeat(np.linspace(0, 10, points), 3)
            readings = 0.4 * true + rng.normal(0, 0.002, len(true))
            assert not [
                found for found in findings(fitted(model, readings, true)) if found.kind == "saturation"
            ]


@pytest.mark.parametrize(
    ("model", "points", "each"),
    [("linear", 2, 4), ("linear", 3, 3), ("linear", 3, 5), ("linear", 5, 10), ("quadratic", 3, 4)],
)
def test_noisy_replicates_at_set_points(model: str, points: int, each: int) -> None:
    """Their order is noise, and a cubic that turns level at each of a few is no better curve: hardly told."""
    rng = np.random.default_rng(1)
    true = np.repeat(np.linspace(0, 10, points), each)
    readings = 0.5 + 0.4 * true + rng.normal(0, 0.002, (300, len(true)))
    assert sum(bool(findings(fitted(model, each, true))) for each in readings) <= 3


def test_low_readings_are_no_saturation() -> None:
    """Two that lie near each other beside the others rise there as their reference values do."""
    readings = np.array([1.0, 20, 400, 800, 1200, 1600, 2000])
    off = np.array([0.5, -0.5, 0.0, 0.3, -0.2, 0.1, -0.1])
    assert not [*repeated_ends(fitted("linear", readings, 3 * readings + off))]


def test_typing_error_among_replicates() -> None:
    """One value of three at the largest reading is a typing error, not the end of the range."""
    fit = rounded("linear", np.repeat([0.0, 5, 10, 15, 20], 3), 0.2, 1, 5)
    t_c = fit.t_c.copy()
    t_c[-1] *= 10
    assert only(fitted("linear", fit.t_u, t_c)).kind == "outlier"


def test_not_monotonic() -> None:
    """A parabola that turns within its range is told, and where it does. Source: (x - 4)**2."""
    found = only(fitted("quadratic", np.arange(11.0), (np.arange(11.0) - 4) ** 2 + 3))
    assert (found.kind, found.p) == ("not monotonic", None)
    assert "it turns at t_u = 4," in found.sentence


def test_a_sigma_that_is_known() -> None:
    """With absolute uncertainties the words are of chi2. Source: 85.2 and 21.8 in the oracles."""
    found = only(fit_of("thermometer, linear, sigma_i = 0.5 + 0.02*i (i = 0..10), absolute"))
    assert found.sentence.startswith(
        "a logarithm of t_u would leave a chi² of 63.4 instead of 85.2 (p = 3e-06)"
    )


def test_outlier_of_a_curve() -> None:
    """A curve is fitted anew without the reading that is off, and then is sound. Source: 8 exp(-x/4) + 2."""
    noise = np.random.default_rng(0).normal(0, 0.002, 10)
    t_c = np.round(8 * np.exp(-X / 4) + 2 + noise, 3)
    t_c[5] += 2

    def refit(kept: Bools) -> tuple[Floats, Floats]:
        model, start = MODELS["exponential"], torch.tensor([8.0, -0.3, 1.0]).double()
        t_u, values = torch.tensor(X[kept]), torch.tensor(t_c[kept])
        params = best_fit(model, mse, t_u, values, start).params
        point = Point(model, mse, torch.tensor(X), torch.tensor(t_c), False, params)
        return t_c + point.residuals.numpy(), point.tangents.numpy()

    lines = np.arange(2, 12)
    every = refit(np.ones(10, bool))
    fit = Fitted(X, t_c, *every, lines, "exponential", False, "t_u", "t_c", refit=refit)
    assert only(fit).lines == (7,)
