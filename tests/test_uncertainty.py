"""How well the data settle a best fit, against values worked out at 100 digits.

Source of tests/oracles/statistics.json: mpmath, independent of this project; its first key defines each name.
"""

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from src.fit.uncertainty import Uncertainty
from src.fit.weights import EQUAL, Weights
from src.fit.yardstick import yardstick
from src.losses import LOSSES
from src.models import MODELS
from src.normalization import NORMALIZATIONS, UNCHANGED

HERE = Path(__file__).parent
ORACLES: dict[str, Any] = json.loads((HERE / "oracles" / "statistics.json").read_text())
SETS = {name: known for name, known in ORACLES.items() if isinstance(known, dict)}
NAMES = {"residual_sd": "residual_sd", "max_residual": "max_residual", "r2": "r2", "loo_rmse": "loo_rmse"}


def tensor(*values: Any) -> Tensor:
    return torch.tensor([float(value) for value in values], dtype=torch.float64)


THERMOMETER = (
    tensor(35.7, 55.9, 58.2, 81.9, 56.3, 48.9, 33.9, 21.8, 48.4, 60.4, 68.4),
    tensor(0.5, 14, 15, 28, 11, 8, 3, -4, 6, 13, 21),
)


def pairs(name: str) -> tuple[Tensor, Tensor]:
    if name.startswith("thermometer"):
        return THERMOMETER
    if name.startswith("norris"):
        x, y = np.loadtxt(HERE / "nist" / "norris.csv", delimiter=",", skiprows=1, unpack=True)
        return torch.tensor(x), torch.tensor(y)
    data = SETS[name]["data"]
    return tensor(*data["x"]), tensor(*data["y"])


def weights(name: str) -> Weights:
    if "sigma_i" not in name:
        return EQUAL
    sigma = 0.5 + 0.02 * torch.arange(11, dtype=torch.float64)
    root = 1 / sigma
    mean = float(root.square().mean().sqrt())
    return Weights(root / mean, 1 / mean, "absolute" in name)


def of(name: str, normalization: str = "zscore") -> Uncertainty:
    model = next(model for model in MODELS if model in name)
    loss = next((loss for loss in LOSSES if loss in name), "mse")
    function = partial(LOSSES[loss], delta=1.0) if loss == "huber" else LOSSES[loss]
    t_u, t_c = pairs(name)
    is_polynomial = model in ("linear", "quadratic")
    fitted = NORMALIZATIONS[normalization](t_u) if is_polynomial else UNCHANGED
    start = tensor(*SETS[name]["start"]) if "start" in SETS[name] else torch.zeros(MODELS_SIZES[model])
    return Uncertainty(
        yardstick(MODELS[model], function, fitted, t_u, t_c, start.double(), "none", weights(name))
    )


MODELS_SIZES = {"linear": 2, "quadratic": 3, "proportional": 1}


def known(name: str, *keys: str) -> Any:
    """The value of the first key that is there, in the order of the parameters."""
    found = next((SETS[name][key] for key in keys if key in SETS[name]), None)
    return list(found.values()) if isinstance(found, dict) else found


def near(found: Tensor | float, want: Any, within: float = 1e-10) -> None:
    torch.testing.assert_close(
        torch.as_tensor(found, dtype=torch.float64),
        tensor(*np.atleast_1d(want)).reshape(np.shape(want)),
        rtol=within,
        atol=0,
    )


@pytest.mark.parametrize("name", SETS)
def test_standard_errors(name: str) -> None:
    """In raw units, of lines and parabolas under whichever normalization they were trained."""
    want = known(name, "standard_errors", "standard_errors (pooled)")
    for normalization in ("zscore", "none", "minmax"):
        found = of(name, normalization).raw_errors
        assert found is not None
        near(found, want)


@pytest.mark.parametrize("name", SETS)
def test_quality(name: str) -> None:
    """Residuals, R², AICc, chi² and what is predicted without each observation."""
    found = of(name)
    for attribute in ("residual_sd", "max_residual", "r2", "loo_rmse", "loo_loss"):
        keys = (key for key in SETS[name] if key.partition(" ")[0] == attribute)
        if want := known(name, *sorted(keys, key=lambda key: "linearised" in key)):
            near(getattr(found, attribute), want, 1e-9)
    aicc = [key for key in SETS[name] if key.startswith("aicc")]
    if want := known(name, "aic_known (chi2 + 2k)", *aicc):
        near(found.aicc, want)
    if "absolute" in name:
        near(found.chi_squared, known(name, "chi2"))
        near(found.chi_squared_p, known(name, "chi2_p"), 1e-8)
    if "leverage" in SETS[name]:
        near(found.leverages, SETS[name]["leverage"])


@pytest.mark.parametrize("case", ORACLES["thermometer, training_error"], ids=lambda case: case["model"])
def test_training_error(case: dict[str, Any]) -> None:
    """The largest distance within the range in standard uncertainties of the curve."""
    found = of(f"thermometer, {'linear' if case['model'] == 'line' else 'quadratic'}")
    raw = tensor(*case["run's params (highest power first)"])
    centred = found.of.centred
    assert centred
    shift, scale = centred.shift, centred.scale
    powers = [np.poly1d([1 / scale, shift]) ** power for power in reversed(range(len(raw)))]
    moved = sum((float(value) * power for value, power in zip(raw, powers, strict=True)), np.poly1d([0.0]))
    params = tensor(*np.pad(moved.coeffs, (len(raw) - len(moved.coeffs), 0)))
    near(
        found.training_errors(params[None])[0],
        case["training_error (se_mean, over the calibrated range)"],
        1e-8,
    )


def test_absent() -> None:
    """Of a fit through all points, or one of nothing but rounding, nothing is said; nor of AICc at K + 2."""
    t_u = tensor(1, 2, 3, 4)
    noisy = 2 * t_u + tensor(0.1, -0.1, -0.1, 0.2)
    start = torch.zeros(2, dtype=torch.float64)

    def line(n: int, t_c: Tensor) -> Uncertainty:
        return Uncertainty(yardstick(MODELS["linear"], LOSSES["mse"], UNCHANGED, t_u[:n], t_c[:n], start))

    for exact in (line(2, noisy), line(4, 2 * t_u + 1e6)):
        assert exact.factor is None
        assert math.isnan(exact.training_errors(start[None])[0])
    assert line(3, noisy).factor is not None
    assert math.isnan(line(4, noisy).aicc)
    assert math.isfinite(line(3, noisy).loo_rmse)


def test_where_all_curves_meet() -> None:
    """A line through the origin has no uncertainty at 0; its training error is the same everywhere else."""
    t_u = tensor(0, 1, 2, 3, 4)
    t_c = 2 * t_u + tensor(0.1, -0.1, 0.2, -0.1, 0.05)
    found = Uncertainty(
        yardstick(MODELS["proportional"], LOSSES["mse"], UNCHANGED, t_u, t_c, tensor(1), weights=EQUAL)
    )
    assert found.raw_errors is not None
    near(found.training_errors(found.of.params[None] + 3 * found.raw_errors[None])[0], 3, 1e-9)
    near(found.training_errors(found.of.params[None])[0], 0, 1e-9)
