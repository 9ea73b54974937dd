"""What a dtype resolves: of targets, and in a descent whose every step is rounded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Of an exact fit there are no standard errors: as near as the arithmetic resolves the targets, times so much.
EXACT = {torch.float32: 4, torch.float64: 16}


def resolved(dtype: torch.dtype, targets: float) -> float:
    """The mean square of what is as near as a dtype resolves targets up to this size."""
    return float((EXACT[dtype] * torch.finfo(dtype).eps * targets) ** 2)


@dataclass(frozen=True)
class Rounding:
    """What rounding adds to the gap of a descent, estimated from above.

    A parameter is rounded in each step, by half the spacing of its numbers at most, and along an axis of the
    loss each error lives on, by the factor `1 - lr * curvature` a step: slowly along the flattest axis, and
    from side to side along the steepest at a rate near the limit. And the terms of a prediction are rounded.

    Along the K axes the `curvature` and half the `spacing` of the parameters, (K,), and the gap of rounded
    `terms`: the last two where `eps` is 1.
    """

    curvature: Tensor
    spacing: Tensor
    terms: float

    def gap(self, dtype: torch.dtype, lr: float) -> float:
        """What is left at this learning rate, below the limit."""
        eps = torch.finfo(dtype).eps
        left = self.spacing / (1 - (1 - lr * self.curvature).abs())
        return eps**2 * (float((self.curvature * left**2).sum()) / 2 + self.terms)
