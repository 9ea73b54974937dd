"""By what models compare, and from when on a run speaks for its model."""

from __future__ import annotations

import math

ENOUGH = 0.1  # a training error up to which a run speaks of its best fit


def criterion(n: int, k: int, mean_square: float) -> float:
    """AICc of K parameters that leave this of N observations; NaN where N is not above K + 2 or it is 0.

    `N ln(S/N) + 2p + 2p(p+1)/(N-p-1)`, p = K + 1. Source: Hurvich and Tsai (1989).
    """
    p = k + 1
    if n - p - 1 <= 0 or not mean_square > 0:
        return math.nan
    return n * math.log(mean_square) + 2 * p + 2 * p * (p + 1) / (n - p - 1)
