"""Losses as plain functions, as in the chapter: predictions and targets (..., N) -> (...)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Loss = Callable[["Tensor", "Tensor"], "Tensor"]


def mean_squared_error(t_p: Tensor, t_c: Tensor) -> Tensor:
    """The chapter's `loss_fn`, the mean of the squared differences: (..., N) and (..., N) -> (...).

    Raises ValueError where the last dimensions differ: (N,) against (N, 1) would broadcast to
    (N, N) and give a wrong loss in silence.
    """
    if t_p.shape[-1] != t_c.shape[-1]:
        raise ValueError(
            f"predictions {tuple(t_p.shape)} and targets {tuple(t_c.shape)} "
            "must have the same number of observations in their last dimension"
        )
    squared_diffs = (t_p - t_c) ** 2  # (..., N)
    return squared_diffs.mean(dim=-1)
