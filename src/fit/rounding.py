"""What a dtype resolves: of targets, and in a descent whose every step is rounded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

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

    In each step a parameter is rounded, by half the spacing of its numbers at most, and so are the terms of
    the predictions, and with them the slope. Along an axis of the loss each error lives on, by the factor
    `1 - lr * curvature` a step: slowly along the flattest axis, and from side to side along the steepest at a
    rate near the limit.

    Along the K axes the `curvature` and half the `spacing` of the parameters, (K,), and an axis's share of
    the gap of rounded `terms`: the last two where `eps` is 1.
    """

    curvature: Tensor
    spacing: Tensor
    terms: float

    def gap(self, dtype: torch.dtype, lr: float) -> float:
        """What is left at this learning rate, below the limit."""
        left = 0.0
        for curvature, spacing in self._axes:
            fades = 1 - abs(1 - lr * curvature)
            if not fades:
                return math.inf
            left += curvature * (spacing / fades) ** 2 / 2 + self.terms * (lr * curvature / fades) ** 2
        return torch.finfo(dtype).eps ** 2 * left

    @cached_property
    def _axes(self) -> list[tuple[float, float]]:
        """As numbers: a sweep asks for each of its rates."""
        return list(zip(self.curvature.tolist(), self.spacing.tolist(), strict=True))
