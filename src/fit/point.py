"""A place in parameter space, and all that a search for the best fit asks of it, from autograd's derivatives.

Shapes: N observations, K parameters. In the formulas r (N,) is prediction minus target, J (N, K) the
tangents d prediction / d params, psi (N,) the slope of each observation's loss, d loss / d prediction; for
squares a multiple of r. All float64. A search works with tangents of length 1, so no unit matters to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import torch
from torch import Tensor
from torch.autograd import functional

from ..losses import Loss
from ..models import Model
from .derivatives import gradient, second_derivatives, slopes

EPS = torch.finfo(torch.float64).eps
SINGULAR = 1e-14  # the smallest singular value of tangents of length 1; below it they are dependent


@dataclass(frozen=True)
class Point:
    """Parameters (K,) of a model, under a loss, on readings and targets (N,).

    `linear`: whether the model is linear in its parameters. Everything else is computed when it is asked for.
    """

    model: Model
    loss_fn: Loss
    t_u: Tensor
    t_c: Tensor
    linear: bool
    params: Tensor

    def at(self, params: Tensor) -> Point:
        """The same with other parameters (K,)."""
        return replace(self, params=params)

    def moved(self, step: Tensor) -> Point:
        """Moved by a step (K,) along the tangents of length 1."""
        return self.at(self.params + step / self.lengths)

    def predict(self, params: Tensor) -> Tensor:
        """(K,) -> (N,)."""
        return self.model(self.t_u, *params).expand_as(self.t_u)

    def loss_of(self, predicted: Tensor) -> Tensor:
        """The mean loss of predictions (N,)."""
        return self.loss_fn(predicted, self.t_c)

    def mean_loss(self, params: Tensor) -> Tensor:
        """Of parameters (K,)."""
        return self.loss_of(self.predict(params))

    @cached_property
    def predicted(self) -> Tensor:
        """(N,)."""
        return self.predict(self.params)

    @cached_property
    def residuals(self) -> Tensor:
        """`r` (N,)."""
        return self.predicted - self.t_c

    @cached_property
    def loss(self) -> float:
        """The mean; infinity where it is not a number."""
        return float(self.loss_of(self.predicted).nan_to_num(math.inf, math.inf))

    @cached_property
    def slopes(self) -> Tensor:
        """`psi` (N,): N times the gradient of the mean."""
        return len(self.t_c) * gradient(self.loss_of, self.predicted)

    @cached_property
    def bends(self) -> Tensor:
        """`psi'` (N,), each observation's own second derivative."""
        return second_derivatives(self.loss_fn, self.predicted, self.t_c)

    @cached_property
    def jacobian(self) -> Tensor:
        """`J` (N, K)."""
        return slopes(self.model, self.t_u, self.params)

    @cached_property
    def lengths(self) -> Tensor:
        """Of J's columns (K,); 1 for a column of zeros."""
        lengths = self.jacobian.norm(dim=0)
        return torch.where(lengths > 0, lengths, 1)

    @cached_property
    def tangents(self) -> Tensor:
        """`J` (N, K) with columns of length 1."""
        return self.jacobian / self.lengths

    @cached_property
    def hessian(self) -> Tensor:
        """Of the mean loss (K, K); backwards twice, for not every loss can be differentiated forwards."""
        return cast(Tensor, functional.hessian(self.mean_loss, self.params))  # type: ignore[no-untyped-call]

    @cached_property
    def bend(self) -> Tensor:
        """The Hessian (K, K) of the summed loss along the tangents of length 1."""
        return len(self.t_c) * self.hessian / self.lengths / self.lengths[:, None]

    @cached_property
    def pull(self) -> float:
        """The length of psi's part along the tangents: 0 at a stationary point."""
        return float((torch.linalg.qr(self.tangents).Q.T @ self.slopes).norm())

    @cached_property
    def rounding(self) -> Tensor:
        """How uncertain r (N,) is, as parameters and predictions are rounded."""
        return 4 * EPS * ((self.jacobian * self.params).abs().sum(dim=-1) + self.t_c.abs())

    @cached_property
    def noise(self) -> float:
        """How uncertain the loss is for the same reason."""
        return float((self.slopes.abs() * self.rounding).mean()) + 4 * EPS * self.loss

    @cached_property
    def finite(self) -> bool:
        """Whether a search can go on from here."""
        return math.isfinite(self.loss) and bool((self.jacobian.sum() + self.slopes.sum()).isfinite())

    @cached_property
    def independent(self) -> bool:
        """Whether each parameter has an effect of its own."""
        n, k = self.jacobian.shape
        return n >= k and bool(torch.linalg.svdvals(self.tangents)[-1] > SINGULAR)


def shortest(columns: Tensor, target: Tensor) -> Tensor:
    """The least squares of columns (N, K) to a target (N,): (K,), the shortest where there are several."""
    solution: Tensor = torch.linalg.lstsq(columns, target[:, None], driver="gelsd").solution
    return solution[:, 0]
