"""The best fit of any model and loss, against certified sets and values worked out at 100 digits."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from src.fit.absolute import corner_variance, is_balanced, lowest_corner
from src.fit.best_fit import BestFit, best_fit, is_linear
from src.fit.derivatives import gradient, second_derivatives
from src.fit.point import Point
from src.fit.stability import linear_curvature
from src.losses import huber, log_cosh, mae, mse
from src.models import MODELS as SHIPPED
from src.models import linear, quadratic

HERE = Path(__file__).parent
# Source: NIST, Statistical Reference Datasets, https://www.itl.nist.gov/div898/strd: certified to 11 digits
NIST: dict[str, Any] = json.loads((HERE / "nist" / "certified.json").read_text())
# Source: mpmath at 100 digits, independent of this project; the file says what each covariance is
CASES: list[dict[str, Any]] = json.loads((HERE / "oracles" / "best_fits.json").read_text())["cases"]


HUBER = partial(huber, delta=1.0)


def half_squares(t_p: Tensor, t_c: Tensor) -> Tensor:
    return mse(t_p, t_c) / 2


LOSSES = {"squares": mse, "huber": HUBER, "log_cosh": log_cosh, "absolute": mae}
MODELS: dict[str, Callable[..., Tensor]] = {
    **SHIPPED,
    "norris": linear,
    "danwood": lambda x, b1, b2: b1 * x**b2,
    "misra1b": lambda x, b1, b2: b1 * (1 - (1 + b2 * x / 2) ** -2),
    "rat42": lambda x, b1, b2, b3: b1 / (1 + torch.exp(b2 - b3 * x)),
    "kirby2": lambda x, b1, b2, b3, b4, b5: (b1 + b2 * x + b3 * x**2) / (1 + b4 * x + b5 * x**2),
}
ALL = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


X = torch.linspace(1, 9, 12, dtype=torch.float64)


def digits(got: Tensor, certified: list[Any]) -> float:
    """NIST's measure: the least log relative error."""
    want = torch.tensor(certified, dtype=torch.float64)
    return float(-((got - want) / want).abs().clamp(min=1e-16).log10().max())


def nist_fit(name: str, start: str) -> BestFit:
    x, y = np.loadtxt(HERE / "nist" / f"{name}.csv", delimiter=",", skiprows=1, unpack=True)
    return best_fit(MODELS[name], mse, torch.tensor(x), torch.tensor(y), tensor(*NIST[name][start]))


def oracle_fit(case: dict[str, Any]) -> BestFit:
    return best_fit(
        MODELS[case["model"]],
        LOSSES[case["loss"]],
        tensor(*case["x"]),
        tensor(*case["y"]),
        tensor(*case["start"]),
    )


def unique(best: BestFit) -> Tensor:
    assert best.covariance is not None
    return best.covariance


@pytest.mark.parametrize("name", ["danwood", "misra1b", "rat42", "kirby2"])
@pytest.mark.parametrize("start", ["start1", "start2"])
def test_certified_sets(name: str, start: str) -> None:
    """Parameters and standard errors of curves agree with NIST's to 10 digits, from the far start too."""
    best = nist_fit(name, start)
    assert best.settled
    assert digits(best.params, NIST[name]["params"]) > 10
    assert digits(unique(best).diag().sqrt(), NIST[name]["standard_errors"]) > 10


def test_certified_line() -> None:
    """A line agrees with NIST's Norris, certified to 15 digits, to 12."""
    best = nist_fit("norris", "start2")
    assert best.settled
    assert digits(best.params, NIST["norris"]["params"]) > 12
    assert digits(unique(best).diag().sqrt(), NIST["norris"]["standard_errors"]) > 12


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_oracles(case: dict[str, Any]) -> None:
    """Every kind of loss and model reaches the values of 100 digits."""
    best = oracle_fit(case)
    assert best.settled
    assert digits(best.params, case["params"]) > 9
    assert best.loss == pytest.approx(case["best_loss"], rel=1e-9)
    assert digits(unique(best), case["covariance"]) > 7


@pytest.mark.parametrize(
    ("model", "start", "density"),
    [(linear, (0, 0), 0.103378373901435), (quadratic, (0, 0, 0), 0.104657008937744)],
)
def test_density_at_zero(
    model: Callable[..., Tensor], start: tuple[float, ...], density: float, t_u: Tensor, t_c: Tensor
) -> None:
    """Absolute errors' density at 0 is the one that statsmodels' QuantReg estimates, to 9 digits.

    Source of the numbers: statsmodels' formula at the exact best fit of the thermometer, by mpmath.
    """
    t_u, t_c = decimals(t_u), decimals(t_c)
    best = best_fit(model, mae, t_u, t_c, tensor(*start))
    point = Point(model, mae, t_u, t_c, True, best.params)
    assert (4 * corner_variance(point)) ** -0.5 == pytest.approx(density, rel=1e-9)


def decimals(values: Tensor) -> Tensor:
    """In float64, as they are written."""
    return tensor(*[round(value, 1) for value in values.tolist()])


def test_hessian_of_squares(t_u: Tensor, t_c: Tensor) -> None:
    """The Hessian of a line's mean squared error is 2/N X'X; of half of it, half."""
    columns = torch.stack([t_u.double(), torch.ones(11).double()], dim=-1)
    whole, half = (
        best_fit(linear, loss, t_u.double(), t_c.double(), tensor(1, 0)) for loss in (mse, half_squares)
    )
    torch.testing.assert_close(whole.hessian, 2 / 11 * columns.T @ columns)
    torch.testing.assert_close(half.hessian, 1 / 11 * columns.T @ columns)
    torch.testing.assert_close(half.covariance, whole.covariance)


def test_corners_without_curvature(t_u: Tensor, t_c: Tensor) -> None:
    """Absolute errors have no Hessian, whatever multiple of them the loss is."""
    best = best_fit(linear, lambda p, c: 3 * mae(p, c), t_u.double(), t_c.double(), tensor(1, 0))
    assert best.settled
    assert best.hessian is None


def test_corner_of_a_curve() -> None:
    """No step of any size from the best fit of a curve lowers its absolute errors. Source: 2,000 trials."""
    y = 2 * X**0.9 + 0.1 * torch.sin(9 * X)
    best = best_fit(MODELS["power"], mae, X, y, tensor(1, 1))
    noise = torch.from_numpy(np.random.default_rng(1).standard_normal((2000, 2)))
    sizes = torch.logspace(-9, -1, 2000, dtype=torch.float64)[:, None]
    a, k = (best.params * (1 + sizes * noise)).unsqueeze(-1).unbind(-2)
    assert best.settled
    assert float(mae(MODELS["power"](X, a, k), y).min()) >= best.loss * (1 - 1e-14)


@ALL
@pytest.mark.parametrize("truth", [(9.0, -0.25, 2.0), (0.0, -0.25, 5.0)], ids=["curve", "constant"])
def test_exact_curves(loss: Callable[..., Tensor], truth: tuple[float, ...]) -> None:
    """Data that a curve meets exactly are met to rounding, and settled; a constant is its limit."""
    y = MODELS["exponential"](X, *truth)
    best = best_fit(MODELS["exponential"], loss, X, y, tensor(8, -0.3, 1))
    met = (MODELS["exponential"](X, *best.params) - y).abs().max()
    assert float(met) < 1e-13
    assert best.settled


@ALL
def test_nearly_exact_line(loss: Callable[..., Tensor]) -> None:
    """Scatter that the targets' own rounding nearly hides is no reason not to settle."""
    assert best_fit(linear, loss, X, 2 * X + 1e6 + 1e-9 * torch.sin(9 * X), tensor(1, 0)).settled


@ALL
@pytest.mark.parametrize("target", [0.0, 5.0])
def test_constant_targets(loss: Callable[..., Tensor], target: float) -> None:
    """Targets that are all alike are met by a level line."""
    best = best_fit(linear, loss, X, torch.full_like(X, target), tensor(1, 0))
    torch.testing.assert_close(best.params, tensor(0, target), atol=1e-13, rtol=0)
    assert best.settled


@ALL
def test_as_many_parameters_as_observations(loss: Callable[..., Tensor]) -> None:
    """Two points have their line, without a covariance. Source: (1, 3) and (3, 4) are on 0.5 x + 2.5."""
    best = best_fit(linear, loss, tensor(1, 3), tensor(3, 4), tensor(1, 0))
    torch.testing.assert_close(best.params, tensor(0.5, 2.5))
    assert best.settled
    assert best.covariance is None


@ALL
@pytest.mark.parametrize(
    "model",
    [
        lambda x, w, b, c: w * x + b + 0 * c,
        lambda x, w, b, c: w * x + b + c,
    ],
    ids=["no effect", "the same effect"],
)
def test_parameters_without_an_effect(model: Callable[..., Tensor], loss: Callable[..., Tensor]) -> None:
    """Where parameters are not to be told apart, nothing has settled and there is no covariance."""
    best = best_fit(model, loss, X, X + torch.sin(9 * X), tensor(1, 1, 1))
    assert not best.settled
    assert best.covariance is None


@pytest.mark.parametrize("loss", [mse, mae])
def test_twins_in_a_curve(loss: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is where the model is not linear."""
    monkeypatch.setattr("src.fit.best_fit.OTHERS", 1)  # the others find as little, in seconds
    best = best_fit(lambda x, a, b, k: (a + b) * x**k, loss, X, X + torch.sin(9 * X), tensor(1, 1, 1))
    assert not best.settled
    assert best.covariance is None


def test_fewer_observations_than_parameters() -> None:
    """A parabola through two points is one of many."""
    assert not best_fit(quadratic, mse, tensor(1, 3), tensor(3, 4), tensor(0, 0, 0)).settled


@pytest.mark.parametrize(("loss", "curvature"), [(mse, 2), (HUBER, 1), (log_cosh, 1)])
def test_curvature_of_an_exact_fit(loss: Callable[..., Tensor], curvature: float) -> None:
    """Where a reading is met exactly a smooth loss has the curvature that it has beside it."""
    assert second_derivatives(loss, tensor(1, 1.1, 1.2), tensor(1, 1.1, 1.2)).tolist() == [curvature] * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_cosh_far_away_is_straight(dtype: torch.dtype) -> None:
    """Its slope is the tanh of the difference, its curvature 1 / cosh², both finite however far."""
    far = torch.tensor([-1e4, -400, 0, 400, 1e4], dtype=dtype)
    assert gradient(lambda t_p: 5 * log_cosh(t_p, torch.zeros(5, dtype=dtype)), far).tolist() == [
        -1,
        -1,
        0,
        1,
        1,
    ]
    assert second_derivatives(log_cosh, far, torch.zeros(5, dtype=dtype)).tolist() == [0, 0, 1, 0, 0]


def test_a_curvature_that_overflows_is_none() -> None:
    """So it is of a loss that is right itself: its best fit has no limit, and nothing fails."""

    def overflowing(t_p: Tensor, t_c: Tensor) -> Tensor:
        return (t_p - t_c).logaddexp(t_c - t_p).mean(dim=-1)

    design = torch.stack([X, torch.ones_like(X)], dim=-1)
    assert len(linear_curvature(design, overflowing, X, X + 1)) == 2
    assert len(linear_curvature(design, overflowing, X, X + 1e4)) == 0


def test_nothing_within_delta() -> None:
    """Huber's loss is flat where as many far targets pull up as down: settled, without curvature."""
    best = best_fit(lambda x, b: b + 0 * x, HUBER, tensor(1, 2, 3, 4), tensor(-10, -10, 10, 10), tensor(3))
    assert best.loss == pytest.approx(9.5)  # |r| - 1/2, of 10 on average
    assert best.settled
    assert best.hessian is not None
    assert not best.hessian.any()
    assert best.covariance is None


@pytest.mark.parametrize("loss", [mse, mae])
def test_best_fit_at_infinity(loss: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """An exponential comes ever nearer to a straight line and never arrives: that is not settled."""
    monkeypatch.setattr("src.fit.best_fit.OTHERS", 0)  # the others find as little, in seconds
    monkeypatch.setattr("src.fit.best_fit.EVALUATIONS", (200, 100))
    assert not best_fit(MODELS["exponential"], loss, X, 2 * X + 1, tensor(8, -0.3, 1)).settled


def test_no_corner_far_out() -> None:
    """Nearly dependent tangents do not hide that there is a lower corner: 0.00353 at (380, 0.005, -379)."""
    y = 2 * X + 1 + 0.1 * torch.sin(9 * X)
    far = Point(MODELS["exponential"], mae, X, y, False, tensor(-187601, -1.05521e-05, 187602))
    corner = lowest_corner(far)
    assert corner.loss < 0.00353 or not is_balanced(corner)


def test_undefined_models() -> None:
    """A model that is nowhere a number gives no best fit, and infinity rather than no number."""
    best = best_fit(lambda x, a: a * x.neg().log(), mse, X, X, tensor(1))
    assert not best.settled
    assert best.loss == float("inf")


def test_start_of_zeros() -> None:
    """A start at which the curve has no slope in one parameter is left. Source: data made with 2 and 0.9."""
    best = best_fit(MODELS["power"], mse, X, 2 * X**0.9, tensor(0, 0))
    assert best.settled
    torch.testing.assert_close(best.params, tensor(2, 0.9))


def test_nothing_random() -> None:
    """The same call gives the same numbers, whatever the seed, and leaves the generators alone."""
    torch.manual_seed(1)
    state = torch.get_rng_state()
    once = nist_fit("misra1b", "start1")
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(nist_fit("misra1b", "start1").params, once.params)


@pytest.mark.parametrize(
    ("model", "start", "expected"),
    [
        (linear, (1, 0), True),
        (quadratic, (0, 0, 0), True),
        (lambda x, a, b: a * torch.sin(x) + b * x.log(), (1, 1), True),
        (lambda x, w: w * x + 3, (1,), False),
        (lambda x, w: torch.relu(w * x), (1,), False),
        (lambda x, w, b: (w * x + b).clamp(max=1e5), (1, 0), False),
        (MODELS["power"], (2, 1), False),
        (MODELS["exponential"], (0, 0, 0), False),
        (MODELS["steinhart_hart"], (1e-3, 2e-4, 9e-8), False),
        (lambda x: x, (1,), False),
        (lambda x, w: "no number", (1,), False),
    ],
)
def test_linear_in_parameters(model: Any, start: tuple[float, ...], expected: bool) -> None:
    """Sums of parameters times columns are linear; offsets, limits and curves are not."""
    assert is_linear(model, X, tensor(*start)) is expected


@pytest.mark.slow
def test_scipy_stays_away() -> None:
    """A line's best fit is closed: scipy, a second's import, is loaded only by what needs it."""
    script = (
        "import sys, torch; from src.fit.best_fit import best_fit; from src.losses import mse;"
        "from src.models import linear; x = torch.arange(5.0).double();"
        "assert best_fit(linear, mse, x, 2 * x, x[:2]).settled;"
        "assert 'scipy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=HERE.parent)
