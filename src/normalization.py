"""Input normalizations: affine, fitted on the data. Every public function here can be chosen by its name.

`t_un = (t_u - shift) * scale`. Parameters trained on `t_un` mean nothing beside parameters trained on
another normalization's; folded back into raw input units they compare.

A normalization takes the input (N,) float64, then its options, each a setting `normalization.OPTION`. One of
the user's own may give a pair, shift and scale.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from .functions import public
from .kinds import Factor

if TYPE_CHECKING:  # torch takes two seconds to import; a mistake on the command line must not wait
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Affine:
    """`t_un = (t_u - shift) * scale`; shift in input units, scale in one over input units, not 0."""

    shift: float
    scale: float

    def apply(self, t_u: "Tensor", dtype: "torch.dtype") -> "Tensor":
        """(N,) float64 -> (N,) in `dtype`.

        Shifted in float64, so that 1000000.1 keeps its digits in float32, then scaled in `dtype`, as
        the chapter's `0.1 * t_u` is.
        """
        return (t_u - self.shift).to(dtype) * self.scale

    @property
    def inverse(self) -> "Affine":
        """What takes the normalized input back."""
        return Affine(shift=-self.shift * self.scale, scale=1 / self.scale)

    def of(self, other: "Affine") -> "Affine":
        """The same, of an input that is `other`'s output."""
        return Affine(shift=(self.shift - other.shift) * other.scale, scale=self.scale / other.scale)


UNCHANGED = Affine(shift=0.0, scale=1.0)


def none(t_u: "Tensor") -> Affine:
    """The input as it is."""
    del t_u
    return UNCHANGED


def scale(t_u: "Tensor", factor: Factor) -> Affine:
    """The chapter's: `factor * t_u`, with factor 0.1."""
    del t_u
    return Affine(shift=0.0, scale=factor)


def zscore(t_u: "Tensor") -> Affine:
    """To mean 0 and (population) standard deviation 1: the best conditioned for a straight line."""
    return _spread(t_u, "zscore", shift=t_u.mean(), spread=t_u.std(correction=0))


def minmax(t_u: "Tensor") -> Affine:
    """To the interval from 0 to 1."""
    return _spread(t_u, "minmax", shift=t_u.min(), spread=t_u.max() - t_u.min())


def _spread(t_u: "Tensor", name: str, shift: "Tensor", spread: "Tensor") -> Affine:
    if not (0 < spread < inf and 1 / spread < inf):
        raise ValueError(
            f"normalization={name} needs an input that varies, within the range of arithmetic, but this one "
            f"goes from {float(t_u.min()):g} to {float(t_u.max()):g}: use normalization=none, or other data"
        )
    return Affine(shift=float(shift), scale=float(1 / spread))


NORMALIZATIONS: dict[str, Callable[..., Affine]] = public(__name__)
ADVISED = "zscore"  # what to try where another will not do
