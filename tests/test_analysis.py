"""The exact yardsticks against certified values and against what training does."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from src.data import load
from src.fit.plan import Preparation
from src.fit.rates import epochs_enough, fastest_rate
from src.fit.training import calibrate
from src.fit.yardstick import Yardstick, yardstick
from src.functions import parameter_names
from src.loop import LossCurves, training_loop
from src.losses import Loss, mse
from src.models import MODELS, Model, linear, quadratic
from src.normalization import NORMALIZATIONS, UNCHANGED, Affine
from src.polynomial import is_polynomial
from src.settings import Settings
from tests.conftest import ROOT

POLYNOMIALS = [name for name, each in MODELS.items() if is_polynomial(each, len(parameter_names(each)))]
F64 = torch.float64


@pytest.fixture
def readings(t_u: Tensor) -> Tensor:
    """The chapter's readings as written, in float64."""
    return torch.tensor([float(f"{value:.1f}") for value in t_u], dtype=F64)


def measured(
    model: Model, t_u: Tensor, t_c: Tensor, fitted: Affine = UNCHANGED, loss: Loss = mse
) -> Yardstick:
    """From a start of ones."""
    start = torch.ones(len(parameter_names(model)), dtype=F64)
    return yardstick(model, loss, fitted, t_u, t_c.double(), start)


def correct_digits(estimate: float, certified: float) -> float:
    """NIST's log relative error."""
    return float(-torch.log10(torch.tensor(abs(estimate - certified) / abs(certified), dtype=F64)))


def test_norris_to_twelve_digits() -> None:
    """Certified values of NIST's Statistical Reference Datasets, linear regression, Norris."""
    table = pd.read_csv(ROOT / "data" / "norris.csv")
    x, y = (torch.tensor(table[column].to_numpy()) for column in ("x", "y"))
    optimum = measured(linear, x, y)
    assert correct_digits(float(optimum.raw_params[0]), 1.00211681802045) > 12
    assert correct_digits(float(optimum.raw_params[1]), -0.262323073774029) > 11.5
    assert correct_digits(optimum.fit.variance**0.5, 0.884796396144373) > 12


def test_the_chapters_optimum(readings: Tensor, t_c: Tensor) -> None:
    """Least squares in closed form; expected values computed in exact rational arithmetic."""
    optimum = measured(linear, readings, t_c)
    assert optimum.raw_params.tolist() == pytest.approx([0.5367719209, -17.3047855030], abs=1e-10)
    assert optimum.fit.loss == pytest.approx(2.9276455709, abs=1e-10)


def test_a_parabola_over_millions_is_found_to_eight_digits() -> None:
    """Exact by construction; on the raw input, squared to 1e13, a plain solver loses nearly all digits."""
    x = torch.linspace(1e6, 3e6, 40, dtype=F64)
    optimum = measured(quadratic, x, quadratic(x, *torch.tensor([-3e-13, 7e-7, 0.5], dtype=F64)))
    assert optimum.raw_params.tolist() == pytest.approx([-3e-13, 7e-7, 0.5], rel=1e-8)


def test_as_many_parameters_as_observations_leave_no_standard_error() -> None:
    """What is as near as the arithmetic resolves has converged, all the same."""
    x = torch.tensor([1.0, 2.0], dtype=F64)
    optimum = measured(linear, x, x)
    assert optimum.fit.covariance is None
    assert optimum.fit.loss == pytest.approx(0, abs=1e-30)
    near = torch.tensor([[1.0, 0.0], [1.0, 1e-6]], dtype=F64)
    assert optimum.converged(optimum.as_params(near), torch.float32).tolist() == [True, False]


@pytest.mark.parametrize(
    ("name", "options", "limit"),
    [("none", (), 0.000339938), ("scale", (0.1,), 0.0329782), ("zscore", (), 1.0)],
)
def test_the_chapters_stability_limits(
    name: str, options: tuple[float, ...], limit: float, readings: Tensor
) -> None:
    """2 / lambda_max of the Hessian; values from the project's seed facts."""
    fitted = NORMALIZATIONS[name](readings, *options)
    assert measured(linear, readings, readings, fitted).limit == pytest.approx(limit, rel=2e-6)


@pytest.mark.parametrize("model", POLYNOMIALS)
@pytest.mark.parametrize("name", ["none", "zscore", "minmax"])
def test_training_is_stable_just_below_the_limit_and_not_just_above(
    model: str, name: str, readings: Tensor, t_c: Tensor
) -> None:
    """What the limit promises, seen in the loop itself: a start off the optimum grows, or does not."""
    function = MODELS[model]
    fitted = NORMALIZATIONS[name](readings)
    t_un = fitted.apply(readings, F64)
    limit = measured(function, readings, t_c, fitted).limit
    curves = LossCurves([range(1, 2001, 100)] * 2)
    start = torch.ones(2, 3 if model == "quadratic" else 2, dtype=F64)
    rates = torch.tensor([0.99, 1.01], dtype=F64) * limit
    training_loop(1901, rates, start, t_un, t_c, model=function, curves=curves)
    below, above = curves.losses
    assert below[-1] <= below[0]
    assert above[-1] > 1e6 * above[0]


def test_loss_gap_is_the_loss_minus_the_optimums(readings: Tensor, t_c: Tensor) -> None:
    optimum = measured(linear, readings, t_c)
    params = torch.tensor([[1.0, 0.0], [0.5, -16.0]], dtype=F64)
    losses = ((params[:, :1] * readings + params[:, 1:] - t_c) ** 2).mean(dim=-1)
    torch.testing.assert_close(optimum.gaps(optimum.as_params(params)), losses - optimum.fit.loss)


def test_loss_gap_sees_below_the_rounding_of_the_loss(readings: Tensor, t_c: Tensor) -> None:
    """A shift of b by 1e-10 costs exactly 1e-20, which subtracting two losses near 2.9 would never show."""
    optimum = measured(linear, readings, t_c)
    nearby = optimum.params + torch.tensor([0, 1e-10], dtype=F64)
    assert float(optimum.gaps(nearby[None])) == pytest.approx(1e-20, rel=1e-3)


@pytest.mark.parametrize(("name", "condition"), [("none", 33599), ("scale", 357), ("zscore", 1)])
def test_the_chapters_condition_numbers(name: str, condition: float, readings: Tensor) -> None:
    """Values from the project's seed facts."""
    options = (0.1,) if name == "scale" else ()
    fitted = NORMALIZATIONS[name](readings, *options)
    smallest, largest = measured(linear, readings, readings, fitted).curvature.tolist()
    assert largest / smallest == pytest.approx(condition, rel=2e-3)


@pytest.mark.parametrize("model", POLYNOMIALS)
@pytest.mark.parametrize("part_of_limit", [0.3, 0.97, None])
def test_the_epochs_that_are_enough_are_enough_and_not_far_too_many(
    model: str, part_of_limit: float | None, readings: Tensor, t_c: Tensor
) -> None:
    """What the bound promises, seen in the loop itself: from a start off along the slowest direction."""
    function = MODELS[model]
    fitted = NORMALIZATIONS["minmax"](readings)
    t_un = fitted.apply(readings, F64)
    optimum = measured(function, readings, t_c, fitted)
    eigenvalues = optimum.curvature
    lr = part_of_limit * optimum.limit if part_of_limit else fastest_rate(eigenvalues)
    start = torch.ones(1, len(eigenvalues), dtype=F64)

    def gap_after(epochs: int) -> float:
        trained = training_loop(
            epochs, lr, start, t_un, t_c.double(), model=function, curves=LossCurves([[epochs]])
        )
        return float(optimum.gaps(optimum.as_params(trained)))

    start_gap = float(optimum.gaps(optimum.as_params(start)))
    enough = epochs_enough(eigenvalues, lr, start_gap, 1e-5)
    assert gap_after(int(enough)) <= 1e-5
    assert gap_after(int(0.6 * enough)) > 1e-5


def test_beyond_the_limit_no_number_of_epochs_is_enough() -> None:
    assert epochs_enough(torch.tensor([0.5, 2.0]), 1.01, 1.0, 1e-6) == float("inf")
    assert epochs_enough(torch.tensor([2.0, 2.0]), 0.5, 1.0, 1e-6) == 1
    assert epochs_enough(torch.tensor([2.0, 2.0]), 0.5, 1e-7, 1e-6) == 0


@pytest.mark.slow
def test_what_float32_resolves(tmp_path: Path) -> None:
    """Lines and parabolas with noise from 1e-8 to 1e-1 of the span, offsets up to 300 times it, trained long.

    Those that can converge in float32, by the estimate, do; of the others few do.
    """
    rng = np.random.default_rng(1)
    prepare, verdicts = Preparation(load).prepare, []
    for case in range(12):
        noise, x = 10 ** rng.uniform(-8, -1), np.sort(rng.uniform(0, 1, 12))
        path = tmp_path / f"{case}.csv"
        y = rng.choice([0, 3, 300]) + 1.3 * x + noise * rng.normal(size=12)
        pd.DataFrame({"x": x, "y": y}).to_csv(path, index=False)
        model, start = [("linear", {"w": 1, "b": 0}), ("quadratic", {"w2": 1, "w1": 1, "b": 0})][case % 2]
        run = prepare(
            Settings.model_validate({
                "lr": "auto", "epochs": 20_000, "dtype": "float32", "device": "cpu",
                "normalization": {"name": ["none", "zscore", "minmax"][case % 3]},
                "model": {"name": model, "start": start}, "tracking": {"experiment": "floor"},
                "data": {"path": str(path), "input": "x", "target": "y"},
            })
        )  # fmt: skip
        [result] = calibrate([run])
        verdicts.append((run.resolves, result.outcome == "converged"))
    assert (True, False) not in verdicts
    assert verdicts.count((True, True)) > 1
    assert verdicts.count((False, True)) < 3 < verdicts.count((False, False))
