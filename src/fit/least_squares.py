"""The exact optimum of the mean squared error for a model that is linear in its parameters."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..functions import parameter_names
from ..losses import Loss
from ..models import Model
from .best_fit import BestFit


def least_squares(model: Model, _: Loss, t_u: Tensor, t_c: Tensor, __: Tensor) -> BestFit:
    """The best fit (K,) to targets (N,), by QR; called as `best_fit` is, neither loss nor start matters.

    Source of the covariance: `s**2 (X'X)**-1`, with `s**2` the residual sum of squares over N - K.
    """
    design = design_matrix(model, t_u)  # (N, K)
    n, k = design.shape
    q, r = torch.linalg.qr(design)
    params = torch.linalg.solve_triangular(r, (q.T @ t_c)[:, None], upper=True)[:, 0]
    squares = float(((design @ params - t_c) ** 2).sum())
    inverse = torch.linalg.inv(r)
    variance = squares / (n - k) if n > k else math.nan
    covariance = variance * inverse @ inverse.T if n > k else None
    return BestFit(params, squares / n, 2 / n * r.T @ r, covariance, variance, settled=True)


def design_matrix(model: Model, t_u: Tensor) -> Tensor:
    """What each parameter multiplies: (N,) -> (N, K) float64, the model at each unit vector of params."""
    units = torch.eye(len(parameter_names(model)), dtype=torch.float64)
    return torch.stack([model(t_u, *unit).expand(len(t_u)) for unit in units], dim=-1)
