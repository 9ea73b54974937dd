"""Losses as plain functions, as in the chapter: every public function here can be chosen by its name.

A loss takes predictions and targets (..., N), then its options, each a setting `loss.OPTION`; it gives (...),
the mean over the observations. Autograd finds every derivative.
"""

from collections.abc import Callable
from math import log
from typing import TYPE_CHECKING

from .functions import public
from .kinds import Positive

if TYPE_CHECKING:  # torch takes two seconds to import; a mistake on the command line must not wait
    from torch import Tensor

Loss = Callable[["Tensor", "Tensor"], "Tensor"]


def mse(t_p: "Tensor", t_c: "Tensor") -> "Tensor":
    """The chapter's `loss_fn`, the mean of the squared differences."""
    squared_diffs = _differences(t_p, t_c) ** 2  # (..., N)
    return squared_diffs.mean(dim=-1)


def mae(t_p: "Tensor", t_c: "Tensor") -> "Tensor":
    """The mean of the absolute differences: half the readings lie above the fit, however far."""
    return _differences(t_p, t_c).abs().mean(dim=-1)


def huber(t_p: "Tensor", t_c: "Tensor", delta: Positive) -> "Tensor":
    """Half the square of a difference up to `delta`, in the target's unit, and straight beyond it.

    Source: Huber, Robust Estimation of a Location Parameter (1964).
    """
    diffs = _differences(t_p, t_c)
    within = diffs.clamp(-delta, delta)  # not by abs, which has no curvature at 0
    return (within * (diffs - 0.5 * within)).mean(dim=-1)


def log_cosh(t_p: "Tensor", t_c: "Tensor") -> "Tensor":
    """The logarithm of the hyperbolic cosine: half the square near 0, straight far away."""
    diffs = _differences(t_p, t_c)
    size = diffs.where(diffs > 0, -diffs)  # not by abs, which has no curvature at 0
    # not by logaddexp, whose second derivative overflows at differences of some hundreds
    return (size + (-2 * size).exp().log1p() - log(2)).mean(dim=-1)


def _differences(t_p: "Tensor", t_c: "Tensor") -> "Tensor":
    """(..., N) less (..., N); raises ValueError where the last dimensions differ.

    (N,) against (N, 1) would broadcast to (N, N) and give a wrong loss in silence.
    """
    if t_p.shape[-1] != t_c.shape[-1]:
        raise ValueError(
            f"predictions {tuple(t_p.shape)} and targets {tuple(t_c.shape)} "
            "must have the same number of observations in their last dimension"
        )
    return t_p - t_c


LOSSES: dict[str, Callable[..., "Tensor"]] = public(__name__)
