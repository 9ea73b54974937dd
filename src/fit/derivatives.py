"""Derivatives by autograd: of predictions by the parameters, and of each reading's loss by its prediction."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import functional

from ..losses import Loss
from ..models import Model


def slopes(model: Model, t_u: Tensor, params: Tensor) -> Tensor:
    """Of predictions (..., N) by the parameters (..., K): (..., N, K)."""

    def predictions(p: Tensor) -> Tensor:
        return model(t_u, *p.unsqueeze(-1).unbind(-2)).expand(*p.shape[:-1], len(t_u))

    each_alone = torch.eye(params.shape[-1], dtype=params.dtype)  # K passes, where rows by reading take N
    columns = [functional.jvp(predictions, params, one.expand_as(params))[1] for one in each_alone]  # type: ignore[no-untyped-call]
    return torch.stack(columns, dim=-1)


def second_derivatives(loss: Loss, t_p: Tensor, t_c: Tensor) -> Tensor:
    """Of each reading's loss by its prediction: (..., N) and (N,) -> (..., N)."""
    t_p = t_p.detach().requires_grad_()
    (pulls,) = torch.autograd.grad(loss(t_p, t_c).sum() * t_c.shape[-1], t_p, create_graph=True)
    if not pulls.requires_grad:
        return torch.zeros_like(t_p)
    found: Tensor = torch.autograd.grad(pulls.sum(), t_p, allow_unused=True, materialize_grads=True)[0]
    return found
