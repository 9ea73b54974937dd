"""Normalizations: what they are fitted to, inverted, and folded back to raw input."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from src.functions import parameter_names
from src.models import MODELS
from src.normalization import NORMALIZATIONS, Affine, minmax, scale, zscore
from src.polynomial import fold_matrix

F64 = torch.float64


def test_scale_is_the_chapters_bit_for_bit(t_u: Tensor) -> None:
    assert torch.equal(scale(t_u.double(), 0.1).apply(t_u.double(), torch.float32), 0.1 * t_u)


def test_zscore_has_mean_0_and_deviation_1(t_u: Tensor) -> None:
    t_un = zscore(t_u.double()).apply(t_u.double(), F64)
    assert float(t_un.mean()) == pytest.approx(0, abs=1e-12)
    assert float((t_un**2).mean()) == pytest.approx(1, abs=1e-12)


def test_minmax_spans_0_to_1(t_u: Tensor) -> None:
    t_un = minmax(t_u.double()).apply(t_u.double(), F64)
    assert (float(t_un.min()), float(t_un.max())) == pytest.approx((0, 1))


@given(
    shift=st.floats(-1e3, 1e3),
    exponent=st.floats(-3, 3),
    model=st.sampled_from(["linear", "quadratic"]),
    seed=st.integers(0, 1000),
)
def test_folded_parameters_draw_the_same_curve(shift: float, exponent: float, model: str, seed: int) -> None:
    """To float64's rounding, relative to the largest term of the sum."""
    function, affine = MODELS[model], Affine(shift, math.copysign(10**exponent, shift))
    n_params = len(parameter_names(function))
    trained = torch.randn(n_params, dtype=F64, generator=torch.Generator().manual_seed(seed))
    raw_inputs = torch.linspace(-100, 100, 9, dtype=F64)
    raw = torch.from_numpy(fold_matrix(affine, n_params)) @ trained
    curve = function(raw_inputs, *raw)
    largest = function(raw_inputs.abs(), *raw.abs()).max()
    assert (curve - function(affine.apply(raw_inputs, F64), *trained)).abs().max() <= 1e-13 * largest


def test_a_large_offset_keeps_its_digits_in_float32() -> None:
    readings = torch.tensor([1e6 + 0.1, 1e6 + 0.2, 1e6 + 0.3], dtype=F64)
    t_un = minmax(readings).apply(readings, torch.float32)
    assert t_un.tolist() == pytest.approx([0, 0.5, 1], abs=1e-6)


@pytest.mark.parametrize("name", ["zscore", "minmax"])
def test_a_constant_input_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"normalization={name} needs an input that varies"):
        NORMALIZATIONS[name](torch.full((4,), 3.0, dtype=F64))
