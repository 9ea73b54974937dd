"""The unit of a loss: a power of the target's, for most losses."""

from __future__ import annotations

import math

from ..functions import Floats
from ..losses import Loss
from .comparison import Comparison

POWERS = {1: "", 2: "²", 3: "³", 4: "⁴"}


def loss_unit(comparison: Comparison) -> str:
    """Of a comparison's losses; empty where the target has none, or the losses have no one such unit."""
    pairs = comparison.pairs
    if pairs is None or not comparison.unit or len({run.loss_function for run in comparison.runs}) > 1:
        return ""
    return to_the(degree(comparison.settings.loss.function, pairs.t_c), comparison.unit)


def to_the(power: int | None, unit: str) -> str:
    """A unit to a power; empty without one.

    >>> to_the(2, "°C"), to_the(2, "m/s"), to_the(1, "m/s"), to_the(None, "°C"), to_the(2, "")
    ('°C²', '(m/s)²', 'm/s', '', '')
    """
    if not unit or power not in POWERS:
        return ""
    is_compound = power > 1 and set(unit) & set(" */^·²³")
    return (f"({unit})" if is_compound else unit) + POWERS[power]


def degree(loss: Loss, t_c: Floats) -> int | None:
    """The power of a scale by which a loss grows with predictions and targets (N,): 2 for squares.

    None for what does not grow so, as Huber's, half the square on one side of `delta`, or log cosh.
    """
    import torch

    targets = torch.from_numpy(t_c)  # a loss may be of so many, and of such as these alone
    below, one, above = (float(loss(scale * 1.1 * targets, scale * targets)) for scale in (1e-3, 1.0, 1e3))
    if not 0 < one < math.inf or not 0 < above < math.inf:
        return None
    power = round(math.log10(above / one) / 3)
    alike = (below * 1e3**power, above / 1e3**power)
    return power if all(math.isclose(each, one, rel_tol=1e-9) for each in alike) else None
