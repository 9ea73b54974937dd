"""Derivatives by autograd: of predictions by the parameters, and of losses by the predictions.

Each is asked for as the gradient of a sum. torch's own ways to the same, `torch.func` and a vector given to
`autograd.grad`, import its compiler or its symbols first, which takes longer than most sweeps train.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..losses import Loss
from ..models import Model


def gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """Of a number by a tensor (...): (...)."""
    at = at.detach().requires_grad_()
    return _by(function(at), at)


def slopes(model: Model, t_u: Tensor, params: Tensor) -> Tensor:
    """Of predictions (..., N) by the parameters (..., K): (..., N, K)."""
    params = params.detach().requires_grad_()
    predicted = model(t_u, *params.unsqueeze(-1).unbind(-2)).expand(*params.shape[:-1], len(t_u))
    # J' weights is linear in the weights, so its derivative by them is J: K passes, where rows would take N
    weights = torch.zeros_like(predicted, requires_grad=True)
    pulled = _by((predicted * weights).sum(), params, create_graph=True)  # (..., K)
    return torch.stack([_by(pull.sum(), weights) for pull in pulled.unbind(-1)], dim=-1)


def second_derivatives(loss: Loss, t_p: Tensor, t_c: Tensor) -> Tensor:
    """Of each reading's loss by its prediction: (..., N) and (N,) -> (..., N)."""
    t_p = t_p.detach().requires_grad_()
    return _by(_by(loss(t_p, t_c).sum() * t_c.shape[-1], t_p, create_graph=True).sum(), t_p)


def _by(number: Tensor, at: Tensor, create_graph: bool = False) -> Tensor:
    """The gradient of a number by a tensor: zeros where the one does not depend on the other."""
    if not number.requires_grad:
        return torch.zeros_like(at)
    found: Tensor = torch.autograd.grad(
        number, at, retain_graph=True, create_graph=create_graph, allow_unused=True, materialize_grads=True
    )[0]
    return found.clone()  # of a kink: a zero without memory, which the compiler would handle
