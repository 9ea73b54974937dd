"""Offsets much larger than the span: what is predicted, written and printed keeps the digits that tell.

Expected numbers come from numpy.polyfit on the input about its middle, which loses none; curves from scipy.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from scipy.optimize import curve_fit

from src import predict
from src.formula import Ranges, formula
from src.models import MODELS
from src.normalization import UNCHANGED, Affine
from tests.conftest import train_in, work_in
from tests.record import recorded

Curve = tuple[np.ndarray, np.ndarray, int, str]

exponential = MODELS["exponential"]
UNIX = 1.7e9 + np.linspace(0, 9e4, 41)
FAR = 1234567 + np.linspace(-5, 5, 41)
NEAR = np.linspace(0, 10, 41)
NOISE = np.random.default_rng(0).normal(0, 0.1, 41)

CURVES = {
    "parabola over Unix seconds": (UNIX, 2e-9 * (UNIX - 1.70001e9) ** 2 + 1 + 0.1 * NOISE, "quadratic"),
    "line far off": (FAR, 0.396857 * (FAR - 1234567) + 3.2 + NOISE, "linear"),
    "line of large values": (NEAR, 0.396857 * NEAR + 1e7 + NOISE, "linear"),
    "line of both": (-FAR, 0.396857 * FAR + 1e7 + NOISE, "linear"),
    "milliseconds, exact": (NEAR, 1000 * NEAR + 1.7e12, "linear"),
    "parabola of large values": (1e8 + NEAR, (NEAR - 2) ** 2 + 1e9 + NOISE, "quadratic"),
    "exponential over Unix seconds": (UNIX, 2 * np.exp((UNIX - UNIX[0]) / 2.5e4) + 1 + NOISE, "exponential"),
}
DEGREES = {"linear": 1, "quadratic": 2, "exponential": 0}
START = ["scaling=jacobian", "model.start.a=2", "model.start.k=3.5", "model.start.b=1"]
COLUMNS = ("data.path=mine.csv", "data.input=t_u", "data.target=t_c")
HUBER = ["loss=huber", "loss.delta=1e13"]  # beyond all errors: the fit is that of squares
WAYS = [(name, "float64", []) for name in CURVES]
MORE = [(name, "float64", HUBER) for name in list(CURVES)[:3]]
MORE += [(name, "float32", []) for name in ("parabola over Unix seconds", "line far off")]
SLOW = [pytest.param(way, marks=pytest.mark.slow) for way in MORE]


@pytest.fixture(scope="module", params=[*WAYS, *SLOW], ids=lambda way: " ".join([way[0], way[1], *way[2]]))
def calibrated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, migrated_store: Path
) -> tuple[Path, Curve]:
    """A folder with a converged calibration, and its readings and true values, degree, and screen."""
    place = tmp_path_factory.mktemp("calibrated")
    name, dtype, more = request.param
    t_u, t_c, model = CURVES[name]
    pd.DataFrame({"t_u": t_u, "t_c": t_c}).to_csv(place / "mine.csv", index=False)
    how = ["lr=auto", "epochs=3000", f"dtype={dtype}", *more]
    how += ["normalization=minmax", *START] if model == "exponential" else ["normalization=zscore"]
    told = train_in(place, migrated_store, [*COLUMNS, f"model={model}", *how])
    assert "outcome      converged" in told
    return place, (t_u, t_c, DEGREES[model], told)


@pytest.fixture
def store(calibrated: tuple[Path, Curve], monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """MLflow's own client on the calibration's store, in whose folder the test works."""
    return work_in(calibrated[0], monkeypatch)


def best(t_u: np.ndarray, t_c: np.ndarray, degree: int) -> np.ndarray:
    """The best fit's predictions; the degree of an exponential is 0."""
    if not degree:
        t_un = (t_u - t_u[0]) / np.ptp(t_u)
        return np.asarray(exponential(t_un, *curve_fit(exponential, t_un, t_c, (2.0, 3.6, 1.0))[0]))
    t_un = (t_u - t_u.mean()) / t_u.std()
    return np.polyval(np.polyfit(t_un, t_c - t_c[0], degree), t_un) + t_c[0]


def resolved(t_c: np.ndarray, fitted: np.ndarray) -> float:
    """What a prediction may be off: a tenth of the residuals, or of an exact fit 1e-5 of the span."""
    return max(0.1 * math.sqrt(((fitted - t_c) ** 2).mean()), 1e-5 * np.ptp(t_c))


def written(line: str, t_u: np.ndarray) -> np.ndarray:
    """What somebody gets who copies a printed formula."""
    return np.asarray(eval(line.split(" = ", 1)[1], {"t_u": t_u, "exponential": exponential}))


def test_printed_formulas_predict(calibrated: tuple[Path, Curve], store: MlflowClient) -> None:
    t_u, t_c, degree, told = calibrated[1]
    fitted = best(t_u, t_c, degree)
    [run] = recorded(store)
    note = run.data.tags["mlflow.note.content"].split("`")[1]
    lines = [line for line in told.splitlines() if line.startswith(("calibration", "exact", "best fit"))]
    assert len(lines) == 2
    for line in (*lines, note):
        assert np.abs(written(line, t_u) - fitted).max() < resolved(t_c, fitted), line


@pytest.mark.usefixtures("store")
def test_predictions_keep_their_digits(
    calibrated: tuple[Path, Curve], capfd: pytest.CaptureFixture[str]
) -> None:
    """Both ways; on a parabola back to a reading right of its vertex."""
    t_u, t_c, degree, _ = calibrated[1]
    fitted = best(t_u, t_c, degree)
    assert predict.command(["best", *map(repr, t_u.tolist())]) == 0
    rows = capfd.readouterr().out.splitlines()[1:]
    found = [float(row.split(",")[1]) for row in rows]
    assert np.abs(found - fitted).max() < resolved(t_c, fitted)
    place = 35 if t_u[0] < t_u[1] else 5
    assert predict.command(["best", "--inverse", repr(found[place])]) == 0
    [row] = capfd.readouterr().out.splitlines()[1:]
    back = float(row.split(",")[1])
    mirrored = t_u if degree < 2 else 2 * t_u[np.argmin(fitted)] - t_u
    apart = min(abs(back - t_u[place]), np.abs(back - mirrored).min() if degree > 1 else math.inf)
    assert apart < 1e-2 * np.ptp(t_u)


LINE = {"model": "linear", "data_input": "volt", "data_target": "t_c"}


@pytest.mark.parametrize(
    ("params", "ranges", "loss", "expected"),
    [
        ((0.53675, -17.30421234), ((21.8, 81.9), (-4, 28)), 2.9, "0.53675 * volt - 17.3042"),
        ((0.396857, 1e7 + 3.21234), ((0, 10), (1e7, 1e7 + 7)), 0.01, "0.396857 * volt + 10000003.212"),
        ((0.5, -617280.3), ((1234562, 1234572), (0, 5)), 0.01, "0.5 * (volt - 1234567) + 3.2"),
        ((0.5, 617280.3), ((-1234572, -1234562), (0, 5)), 0.01, "0.5 * (volt + 1234567) - 3.2"),
    ],
)
def test_as_many_digits_as_tell(
    params: tuple[float, float], ranges: Ranges, loss: float, expected: str
) -> None:
    """A hundredth of the root of the loss, shared by two numbers: 0.0005 where the loss is 0.01."""
    found = formula(LINE, (dict(zip("wb", params, strict=True)), UNCHANGED), ranges, loss)
    assert found == f"t_c = {expected}"


def test_another_models_normalization_keeps_its_digits() -> None:
    """exp's argument is from 0 to 1 over 10 s of 1.7e9: a shift in six digits would be a million off."""
    recorded = {"model": "exponential", "data_input": "t_u", "data_target": "t_c"}
    params = {"a": 1.0, "k": 1 / 3, "b": 0.0}
    found = formula(recorded, (params, Affine(1.7e9 + 3, 0.1)), ((1.7e9, 1.7e9 + 10), (1, 2)), 1e-4)
    assert found == "t_c = exponential((t_u - 1700000003) * 0.1, a=1, k=0.333333, b=0)"


@pytest.mark.usefixtures("folder")
def test_a_range_is_told_in_its_digits(
    command: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    t_u, t_c, _ = CURVES["line far off"]
    pd.DataFrame({"t_u": t_u, "t_c": t_c}).to_csv(Path("mine.csv"), index=False)
    assert command(*COLUMNS, "normalization=zscore", "lr=0.5", "epochs=50") == 0
    capfd.readouterr()
    assert predict.command(["best", "1234573"]) == 0
    assert "outside the calibrated range, 1234562 to 1234572: extrapolated" in capfd.readouterr().err


@pytest.mark.usefixtures("folder")
def test_parameters_say_of_which_input(
    command: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    """At 10 million V a constant in raw units has no digits left; 8.57 ± 0.64 is of z-scores (numpy).

    The slope of the formula is 534, and a line of parameters without a word would contradict it.
    """
    t_u = [218, 339, 357, 484, 489, 559, 563, 582, 604, 684, 819]
    t_c = [-4, 3, 0.5, 6, 8, 14, 15, 11, 13, 21, 28]
    pd.DataFrame({"t_u": 1e7 + np.array(t_u) / 1e4, "t_c": t_c}).to_csv(Path("mine.csv"), index=False)
    assert command(*COLUMNS, "normalization=zscore", "lr=0.1") == 0
    printed = capfd.readouterr().out
    assert "calibration  t_c = 534" in printed
    of = "of the input as normalized by zscore"
    assert f"parameters   w = 8.57 ± 0.64, b = 10.50 ± 0.64 (standard uncertainties; {of})" in printed
