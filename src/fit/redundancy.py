"""Which of a model's parameters the data cannot tell apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .point import SINGULAR

MOVES = 1e-6  # of a direction of length 1: a smaller share of a parameter in it is rounding


@dataclass(frozen=True)
class Redundancy:
    """Parameters by their places, of which so many `too_many` can be left out without any other curve."""

    places: tuple[int, ...]
    too_many: int

    @property
    def is_without_effect(self) -> bool:
        """Whether it is one parameter that changes nothing, rather than several that change the same."""
        return len(self.places) == 1


def redundancies(tangents: Tensor) -> list[Redundancy]:
    """Of a model with these tangents (N, K), N >= K, in which no parameter's unit matters.

    The directions along which no prediction changes, to first order, are the singular vectors of tangents of
    length 1 whose values are 0; parameters that none of these links are told each by itself. Source: Belsley,
    Kuh and Welsch, Regression Diagnostics (1980), 3.2.
    """
    lengths = tangents.norm(dim=0)
    _, widths, axes = torch.linalg.svd(tangents / torch.where(lengths > 0, lengths, 1), full_matrices=False)
    still = axes[widths <= SINGULAR]
    shares = still.T @ still  # (K, K), the projection onto these directions
    linked = torch.linalg.matrix_power((shares.abs() > MOVES).double(), len(shares)) > 0
    groups = dict.fromkeys(tuple(row.nonzero()[:, 0].tolist()) for row in linked if row.any())
    return [Redundancy(group, round(float(shares.diagonal()[list(group)].sum()))) for group in groups]
