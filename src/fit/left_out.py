"""Each observation as a fit without it predicts it: refitted, all of them together.

Shapes: N observations and as many fits, K parameters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..losses import mse
from .derivatives import second_derivatives, slopes
from .yardstick import Yardstick, predict

MOST_REFITTED = 300  # fits, a fifth of a second: of more, each observation has next to no influence
MOST_CORNERS = 50  # fits without a curvature: each is a search of its own
STEPS = 200  # five to ten are common
SHORTENED = (1.0, 0.5, 1 / 8, 1 / 64)
SAME_LOSS = 1e-12  # of a loss: rounding
DONE = 1e-13  # of the largest target: what a step still moves


def left_out(found: Yardstick) -> Tensor | None:
    """Reference value minus prediction by the best fit to all others: (N,), NaN where it was not found.

    None for more observations than are refitted.
    """
    is_bent = bool(found.curvature[-1:].sum() > 0)
    if len(found.t_c) > (MOST_REFITTED if is_bent else MOST_CORNERS):
        return None
    fits = _Refits(found).settled() if is_bent else _searched(found)
    return found.t_c - predict(found.model, found.t_seen, fits).diagonal()


def _searched(found: Yardstick) -> Tensor:
    """(N, K), one after the other: of absolute errors, whose lowest point is a corner."""
    fits = []
    for out in range(len(found.t_c)):
        fit = found.refitted(torch.arange(len(found.t_c)) != out)
        fits.append(fit.params if fit.settled else fit.params * math.nan)
    return torch.stack(fits)


@dataclass(frozen=True)
class _Refits:
    """N fits, each to all observations but its own, from the best fit to all.

    By Newton's steps, with exact gradients; the curvature is of the tangents at the best fit to all, which is
    near, and of each loss as it is.
    """

    found: Yardstick

    def settled(self) -> Tensor:
        """(N, K); NaN where they do not settle."""
        found = self.found
        params = found.params.repeat(len(found.t_c), 1)
        reached = self._losses(params)
        for _ in range(STEPS):
            after, reached = self._lower(params, reached)
            moved = predict(found.model, found.t_seen, after) - predict(found.model, found.t_seen, params)
            params = after
            if moved.abs().max() <= DONE * found.t_c.abs().max():
                return params
        return params * math.nan

    def _lower(self, params: Tensor, reached: Tensor) -> tuple[Tensor, Tensor]:
        """Fits (N, K) and their losses (N,) after the first step of each that does not lead uphill.

        Level, it goes on: the loss alone would give half the digits.
        """
        waiting = torch.ones(len(params), dtype=torch.bool)
        after, losses = params.clone(), reached.clone()
        steps = list(self._steps(params))
        for part in SHORTENED:
            for step in steps:
                tried = params + part * step
                lower = self._losses(tried)
                taken = waiting & (lower <= reached * (1 + SAME_LOSS))
                after[taken], losses[taken] = tried[taken], torch.minimum(lower, reached)[taken]
                waiting &= ~taken
                if not waiting.any():
                    return after, losses
        return after, losses

    @cached_property
    def _others(self) -> Tensor:
        return ~torch.eye(len(self.found.t_c), dtype=torch.bool)

    @cached_property
    def _t_c(self) -> Tensor:
        return self.found.weights.weigh(self.found.t_c)

    def _predicted(self, params: Tensor) -> Tensor:
        """By fits (N, K): (N, N), weighed; of its own observation each has what is to be predicted."""
        found = self.found
        t_p = found.weights.weigh(predict(found.model, found.t_seen, params))
        return torch.where(self._others, t_p, self._t_c)

    def _losses(self, params: Tensor) -> Tensor:
        """Of fits (N, K): (N,)."""
        return self.found.loss(self._predicted(params), self._t_c)

    @cached_property
    def _tangents(self) -> Tensor:
        """(N, K), weighed, at the best fit to all."""
        found = self.found
        return found.weights.weigh(slopes(found.model, found.t_seen, found.params).T).T

    @cached_property
    def _lengths(self) -> Tensor:
        lengths: Tensor = self._tangents.norm(dim=0)
        return lengths

    @cached_property
    def _products(self) -> Tensor:
        """Of each observation's tangents of length 1 with themselves, (N, K * K)."""
        unit = self._tangents / self._lengths
        return (unit[:, :, None] * unit[:, None, :]).flatten(start_dim=1)

    @cached_property
    def _bending(self) -> Tensor:
        """What the best fit's Hessian has beside that of its tangents, (K * K,): the model's own."""
        found = self.found
        if found.fit.hessian is None:
            return torch.zeros(len(self._lengths) ** 2, dtype=torch.float64)
        t_p = found.weights.weigh(found.predictions)
        whole = len(found.t_c) * found.fit.hessian / self._lengths / self._lengths[:, None]
        return whole.flatten() - second_derivatives(found.loss, t_p, self._t_c) @ self._products

    def _steps(self, params: Tensor) -> Iterator[Tensor]:
        """From fits (N, K) downhill: (N, K) each, by the curvature and by one that is never less."""
        params = params.detach().requires_grad_()
        t_p = self._predicted(params)
        losses = self.found.loss(t_p, self._t_c).sum() * len(self._t_c)
        gradients, pulls = torch.autograd.grad(losses, (params, t_p))
        t_p = t_p.detach()
        bends = second_derivatives(self.found.loss, t_p, self._t_c) * self._others
        yield self._towards(gradients, bends.clamp(min=0))
        if self.found.loss is not mse:
            off = t_p - self._t_c
            reweighted = torch.where(off == 0, bends, pulls / off)  # Source: Huber (1981), 7.8
            yield self._towards(gradients, reweighted.clamp(min=0) * self._others)

    def _towards(self, gradients: Tensor, bends: Tensor) -> Tensor:
        """To the lowest point of the parabola with these gradients (N, K) and bends (N, N): (N, K)."""
        k = len(self._lengths)
        bend = (bends @ self._products + self._bending).reshape(-1, k, k)
        solved, failed = torch.linalg.solve_ex(bend, -(gradients / self._lengths)[..., None])
        step: Tensor = (solved[..., 0] / self._lengths).masked_fill((failed != 0)[:, None], math.nan)
        return step
