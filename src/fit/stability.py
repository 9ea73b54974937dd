"""What descent sees: the units of the parameters, the curvature in these, and the rates that are stable."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..losses import Loss, mse
from ..models import Model
from .best_fit import BestFit
from .derivatives import second_derivatives, slopes
from .rates import fastest_rate

if TYPE_CHECKING:
    from .yardstick import Yardstick

WAY = 33  # points between the start and the best fit at which the curvature is taken


def parameter_scales(scaling: str, model: Model, t_un: Tensor, start: Tensor) -> Tensor:
    """The units (K,) in which descent sees the parameters, from normalized input (N,) and the start (K,).

    `start`: its magnitudes, 1 where it is 0. `jacobian`: such that a unit changes the predictions by 1, root
    mean square over the observations, at the start; infinity where a parameter changes none.
    """
    if scaling == "start":
        return torch.where(start == 0, 1, start.abs())
    if scaling == "none":
        return torch.ones_like(start)
    return 1 / slopes(model, t_un, start).square().mean(dim=0).sqrt()


def fastest_stable(found: Yardstick, start: Tensor) -> float:
    """The fastest learning rate that is stable from the start (K,) to the best fit, by the curvature between.

    The rate whose slowest direction there is fastest, with the largest curvature on the straight way for the
    largest there. NaN where the loss has no curvature, or no best fit is known.
    """
    if not found.fit.settled or math.isnan(found.limit):
        return math.nan
    end = found.trained_params
    way = (start + part * (end - start) for part in torch.linspace(0, 1, WAY, dtype=torch.float64))
    steepest = max(_steepest(found, params) for params in way)
    if not steepest > 0:  # all observations are where the loss is straight
        return math.nan
    return fastest_rate(torch.tensor([float(found.curvature[0]), steepest], dtype=torch.float64))


def _steepest(found: Yardstick, params: Tensor) -> float:
    """The largest eigenvalue of the Hessian in scaled parameters, at parameters as trained (K,)."""

    def mean_loss(params: Tensor) -> Tensor:
        t_p = found.model(found.t_un, *params).expand(len(found.t_un))
        return found.loss(found.weights.weigh(t_p), found.weights.weigh(found.t_c))

    hessian: Tensor = torch.autograd.functional.hessian(mean_loss, params)  # type: ignore[no-untyped-call]
    return float(torch.linalg.eigvalsh(hessian * found.scales * found.scales[:, None])[-1])


def linear_curvature(design: Tensor, loss: Loss, t_p: Tensor, t_c: Tensor) -> Tensor:
    """Eigenvalues of `1/N X' diag(psi') X`, psi' a reading's second derivative: X (N, K) -> (K,).

    None where one of these is no finite number, as of a loss that is written so that it overflows.
    """
    second = torch.full_like(t_c, 2.0) if loss is mse else second_derivatives(loss, t_p, t_c)
    if not second.isfinite().all():
        return torch.empty(0)
    singular_values: Tensor = torch.linalg.svdvals((second / 2).clamp(min=0).sqrt()[:, None] * design)
    return 2 / len(t_c) * singular_values.flip(0) ** 2


def eigenvalues(fit: BestFit, scales: Tensor) -> Tensor:
    """Of a best fit's Hessian in scaled parameters, ascending; none where it has none."""
    if fit.hessian is None:
        return torch.empty(0)
    found: Tensor = torch.linalg.eigvalsh(fit.hessian * scales * scales[:, None])
    return found
