"""Whether a fit says more than chance would."""

from __future__ import annotations

import math

import torch

ANGLES = 20_000  # of a numeric integral


def by_chance(n: int, k: int, left: float) -> float:
    """The probability that N targets of noise are fitted as well by K parameters, one of them a constant.

    `left` is the part of the targets' variance that the fit leaves. The F test of K - 1 parameters beside a
    constant. Source: of `left = sin(angle)**2` the density by angle is `sin**(N-K-1) * cos**(K-2)`.
    """
    angles = (torch.arange(ANGLES, dtype=torch.float64) + 0.5) * (math.pi / 2 / ANGLES)
    density = (n - k - 1) * angles.sin().log() + (k - 2) * angles.cos().log()
    density = (density - density.max()).exp()
    return float(density[angles < math.asin(math.sqrt(min(left, 1)))].sum() / density.sum())
