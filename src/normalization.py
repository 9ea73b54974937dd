"""Input normalizations: affine, fitted on the data, and invertible.

`t_un = (t_u - shift) * scale`. Parameters trained on `t_un` mean nothing beside parameters trained on
another normalization's; folded back into raw input units they compare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Affine:
    """`t_un = (t_u - shift) * scale`; shift in input units, scale in one over input units, not 0."""

    shift: float
    scale: float

    def apply(self, t_u: Tensor, dtype: torch.dtype) -> Tensor:
        """(N,) float64 -> (N,) in `dtype`.

        Shifted in float64, so that 1000000.1 keeps its digits in float32, then scaled in `dtype`, as
        the chapter's `0.1 * t_u` is.
        """
        return (t_u - self.shift).to(dtype) * self.scale

    def invert(self, t_un: Tensor) -> Tensor:
        """Normalized inputs (N,) -> input units (N,) float64."""
        return t_un.to(torch.float64) / self.scale + self.shift

    def fold_matrix(self, n_params: int) -> Tensor:
        """The (K, K) float64 matrix that takes trained parameters to raw ones: `raw = matrix @ trained`.

        For polynomials with the highest power first. Column k holds the raw coefficients of
        `t_un**(K-1-k)`, the power of one binomial, `scale * t_u - scale * shift`.
        """
        matrix = torch.zeros(n_params, n_params, dtype=torch.float64)
        power = torch.ones(1, dtype=torch.float64)  # coefficients of t_un**0, highest power first
        for column in reversed(range(n_params)):
            matrix[n_params - len(power) :, column] = power
            raised = torch.zeros(len(power) + 1, dtype=torch.float64)
            raised[:-1] += self.scale * power
            raised[1:] -= self.scale * self.shift * power
            power = raised
        return matrix

    def fold(self, trained: Tensor) -> Tensor:
        """Trained parameters (..., K) -> the same curve's parameters on raw input, (..., K) float64."""
        return trained.to("cpu", torch.float64) @ self.fold_matrix(trained.shape[-1]).T


def none(t_u: Tensor) -> Affine:
    """The input as it is."""
    del t_u
    return Affine(shift=0.0, scale=1.0)


def scale(t_u: Tensor, factor: float) -> Affine:
    """The chapter's: `factor * t_u`, with factor 0.1."""
    del t_u
    return Affine(shift=0.0, scale=factor)


def zscore(t_u: Tensor) -> Affine:
    """To mean 0 and (population) standard deviation 1: the best conditioned for a straight line."""
    return _spread(t_u, "zscore", shift=t_u.mean(), spread=t_u.std(correction=0))


def minmax(t_u: Tensor) -> Affine:
    """To the interval from 0 to 1."""
    return _spread(t_u, "minmax", shift=t_u.min(), spread=t_u.max() - t_u.min())


def _spread(t_u: Tensor, name: str, shift: Tensor, spread: Tensor) -> Affine:
    if not (0 < spread < torch.inf and 1 / spread < torch.inf):
        raise ValueError(
            f"normalization={name} needs an input that varies, within the range of arithmetic, but this one "
            f"goes from {float(t_u.min()):g} to {float(t_u.max()):g}: use normalization=none, or other data"
        )
    return Affine(shift=float(shift), scale=float(1 / spread))


NORMALIZATIONS: dict[str, Callable[..., Affine]] = {
    "none": none,
    "scale": scale,
    "zscore": zscore,
    "minmax": minmax,
}
