"""Parameters about a normalized input, taken to those of the raw one, where a model has such."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..functions import raw_form
from ..models import Model
from ..normalization import UNCHANGED, Affine
from ..polynomial import fold_matrix, is_polynomial


def about_raw_input(model: Model, about: Affine, params: Tensor) -> Tensor:
    """Parameters (R, K) about a normalized input -> (R, K) about the raw one, NaN where there are none."""
    if about == UNCHANGED:
        return params
    if is_polynomial(model, params.shape[-1]):
        return folded(torch.from_numpy(fold_matrix(about, params.shape[-1])), params)
    if form := raw_form(model):
        return torch.stack(form(about.shift, about.scale, *params.unbind(-1)), dim=-1)
    return torch.full_like(params, math.nan)


def folded(fold: Tensor, params: Tensor) -> Tensor:
    """(K, K), (..., K) -> (..., K); a matrix product's last bits would depend on how many there are."""
    return (fold * params[..., None, :]).sum(dim=-1)
