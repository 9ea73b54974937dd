"""Each observation as a fit without it predicts it: refitted, all of them together.

Shapes: N observations and as many fits, K parameters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ..losses import mse
from .best_fit import best_fit
from .derivatives import second_derivatives, slopes
from .weights import Weights
from .yardstick import Yardstick, predict

MOST_REFITTED = 1000  # fits: of more, each observation has next to no influence
MOST_CORNERS = 200  # fits without a curvature: each is a search of its own
STEPS = 200
SHORTENED = (1.0, 0.5, 1 / 8, 1 / 64)
DONE = 1e-13  # of the largest target: what a step still moves


def left_out(found: Yardstick) -> Tensor | None:
    """Reference value minus prediction by the best fit to all others: (N,), NaN where it was not found.

    None for more observations than are refitted.
    """
    if len(found.t_c) > (MOST_REFITTED if found.curvature[-1:].sum() > 0 else MOST_CORNERS):
        return None
    fits = _refitted(found) if found.curvature[-1:].sum() > 0 else _searched(found)
    return found.t_c - predict(found.model, found.t_seen, fits).diagonal()


def _searched(found: Yardstick) -> Tensor:
    """(N, K), one after the other: of absolute errors, whose lowest point is a corner."""
    fits = []
    for out in range(len(found.t_c)):
        others = torch.arange(len(found.t_c)) != out
        root = found.weights.root
        weights = Weights(None if root is None else root[others])
        model, t_c = weights.weighed(found.model), weights.weigh(found.t_c[others])
        fit = best_fit(model, found.loss, found.t_seen[others], t_c, found.params)
        fits.append(fit.params if fit.settled else fit.params * math.nan)
    return torch.stack(fits)


def _refitted(found: Yardstick) -> Tensor:
    """(N, K): from the best fit to all, by Newton's steps and by reweighted ones, the better of each."""
    params = found.params.repeat(len(found.t_c), 1)
    reached = _losses(found, params)
    for _ in range(STEPS):
        tried = torch.stack([params + part * step for step in _steps(found, params) for part in SHORTENED])
        losses = torch.stack([_losses(found, each) for each in tried]).nan_to_num(math.inf)
        lowest, which = losses.min(dim=0)
        after = tried[which, torch.arange(len(params))]
        # level, it goes on: the loss alone would give half the digits
        after = torch.where((lowest <= reached * (1 + 1e-12))[:, None], after, params)
        moved = (predict(found.model, found.t_seen, after) - predict(found.model, found.t_seen, params)).abs()
        params, reached = after, torch.minimum(lowest, reached)
        if moved.max() <= DONE * found.t_c.abs().max():
            return params
    return params * math.nan


def _losses(found: Yardstick, params: Tensor) -> Tensor:
    """Of fits (N, K) to all observations but their own: (N,)."""
    t_p, t_c = found.weights.weigh(predict(found.model, found.t_seen, params)), found.weights.weigh(found.t_c)
    own = torch.eye(len(t_c), dtype=torch.bool)
    return found.loss(torch.where(own, t_c, t_p), t_c)


def _steps(found: Yardstick, params: Tensor) -> Iterator[Tensor]:
    """From fits (N, K) towards the lowest loss without their own observations: (N, K) each."""
    tangents = slopes(found.model, found.t_seen, params)  # (N, N, K)
    tangents = found.weights.weigh(tangents.transpose(-1, -2)).transpose(-1, -2)
    t_p, t_c = found.weights.weigh(predict(found.model, found.t_seen, params)), found.weights.weigh(found.t_c)
    others = ~torch.eye(len(t_c), dtype=torch.bool)
    t_p = t_p.detach().requires_grad_()
    (pulls,) = torch.autograd.grad(found.loss(t_p, t_c).sum() * len(t_c), t_p)
    bends = second_derivatives(found.loss, t_p, t_c)
    yield _towards(tangents, pulls * others, bends.clamp(min=0) * others)
    if found.loss is not mse:
        off = t_p.detach() - t_c
        reweighted = torch.where(off == 0, bends, pulls / off).clamp(min=0)
        yield _towards(tangents, pulls * others, reweighted * others)


def _towards(tangents: Tensor, pulls: Tensor, bends: Tensor) -> Tensor:
    """The step (N, K) to the lowest point of the parabola with these slopes and bends, (N, N) each."""
    lengths = tangents.norm(dim=-2, keepdim=True)
    tangents = tangents / lengths
    bend = tangents.transpose(-1, -2) @ (bends[..., None] * tangents)
    downhill = -(tangents.transpose(-1, -2) @ pulls[..., None])
    solved, failed = torch.linalg.solve_ex(bend, downhill)
    step: Tensor = (solved[..., 0] / lengths[..., 0, :]).masked_fill((failed != 0)[:, None], math.nan)
    return step
