"""A best fit under squares, as the tests of it see it: arrays alone, so that thousands can be simulated.

Shapes: N observations, K parameters. Whitened is what is multiplied by `root`, 1/sigma of each observation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

EPS = float(np.finfo(float).eps)
EXACT = 16  # spacings of the targets: residuals this small are rounding, as in `rounding.py`


@dataclass(frozen=True, eq=False)
class Fitted:
    """Readings `t_u` and reference values `t_c` (N,), and a settled best fit's predictions (N,) of them.

    `tangents` (N, K): the predictions by the parameters, or any other basis of the space that they span; of a
    polynomial, `is_polynomial`, only their number counts. `root` (N,): 1/sigma, None for equal weights;
    `is_absolute`: sigma is a standard uncertainty, not a ratio. `lines` (N,): where each stands in its file.

    `predict` gives the predictions of any readings (n,) -> (n,); without it, nobody asks whether they turn.
    `refit` gives predictions (N,) and tangents (N, K) of the best fit to the observations kept (N,) alone;
    None where the model is linear in its parameters, for then they follow from the tangents.
    """

    t_u: Floats
    t_c: Floats
    predictions: Floats
    tangents: Floats
    lines: Ints
    model: str
    is_polynomial: bool
    input: str
    target: str
    input_unit: str = ""
    target_unit: str = ""
    root: Floats | None = None
    is_absolute: bool = False
    predict: Callable[[Floats], Floats] | None = None
    refit: Callable[[Bools], tuple[Floats, Floats]] | None = None

    @property
    def n(self) -> int:
        """Observations, N."""
        return len(self.t_u)

    @property
    def k(self) -> int:
        """Parameters, K."""
        return int(self.tangents.shape[1])

    @property
    def free(self) -> int:
        """Degrees of freedom of the residuals, N - K."""
        return self.n - self.k

    @cached_property
    def weights(self) -> Floats:
        """What whitens (N,)."""
        return np.ones(self.n) if self.root is None else self.root

    @cached_property
    def scaled(self) -> Floats:
        """The readings (N,) about the middle of their range, from -1 to 1: there their powers keep digits."""
        low, high = self.t_u.min(), self.t_u.max()
        scaled: Floats = (self.t_u - low - (high - low) / 2) / ((high - low) / 2 or 1.0)
        return scaled

    @cached_property
    def columns(self) -> Floats:
        """A basis (N, K) of the tangents' space, each column of length 1."""
        columns = np.vander(self.scaled, self.k) if self.is_polynomial else self.tangents
        unit: Floats = columns / np.linalg.norm(columns, axis=0)
        return unit

    @cached_property
    def basis(self) -> Floats:
        """An orthonormal one of the whitened tangents (N, K)."""
        return np.linalg.qr(self.weights[:, None] * self.columns)[0]

    @cached_property
    def misses(self) -> Floats:
        """Whitened reference values minus predictions (N,), as they are given.

        Of a polynomial minus a constant: the rest follows from its powers, of which none loses digits.
        """
        return self.weights * (self.t_c - (np.median(self.t_c) if self.is_polynomial else self.predictions))

    @cached_property
    def residuals(self) -> Floats:
        """Their part that no parameter could take (N,): whitened residuals, without what rounding left."""
        return self.across(self.misses)

    @cached_property
    def leverages(self) -> Floats:
        """The part of each observation (N,) in its own prediction, 0 to 1."""
        leverages: Floats = (self.basis**2).sum(axis=1)
        return leverages

    @cached_property
    def squares(self) -> float:
        """The sum of whitened squares, S."""
        return float(self.residuals @ self.residuals)

    @cached_property
    def noise(self) -> float:
        """The sum of whitened squares that rounding alone leaves."""
        return float(((EXACT * EPS * np.abs(self.t_c).max() * self.weights) ** 2).sum())

    @property
    def is_exact(self) -> bool:
        """Whether nothing but rounding is left, of which there is nothing to ask."""
        return self.squares <= self.noise

    @property
    def scale(self) -> float:
        """The residual standard deviation, `sqrt(S / (N - K))`; under weights Birge's ratio."""
        return float(np.sqrt(self.squares / self.free))

    @cached_property
    def step(self) -> float:
        """What all reference values are multiples of; 0 where they have all digits of a float."""
        return _step(self.t_c)

    @property
    def rounding(self) -> float:
        """The standard deviation that rounding to the step brings, in the target's unit.

        None by a step above 1: whole numbers that are multiples of 5 or 10 are set points, not rounded to it.
        """
        return self.step / math.sqrt(12) if self.step <= 1 else 0.0

    @property
    def floors(self) -> Floats:
        """Its whitened variance (N,): no observation is known to have less."""
        floors: Floats = (self.weights * self.rounding) ** 2
        return floors

    def variance(self, squares: float, free: int) -> float:
        """Of a sum of squares with so many degrees of freedom.

        Values that are met exactly are rounded ones, or were computed: they may hide as much as their step.
        """
        if squares > self.noise:
            return squares / free
        return max(self.noise / free, float((self.weights**2).mean()) * self.step**2 / 12)

    def across(self, values: Floats) -> Floats:
        """The part of whitened values (N,) or (N, q) that is orthogonal to the tangents."""
        return _across(self.basis, values)

    def squares_without(self, *places: int) -> float:
        """S of the best fit to the others, along the tangents.

        Of a refit, not a difference: where all the others are met exactly, that would be rounding.
        """
        basis = np.linalg.qr(np.delete(self.basis, places, axis=0))[0]
        left = _across(basis, np.delete(self.misses, places))
        return float(left @ left)

    def without(self, aside: Bools) -> Fitted:
        """The best fit to the others, where `aside` (N,) are left out."""
        kept = ~aside
        predictions, tangents = self.best_by(kept)
        return replace(
            self,
            **{name: getattr(self, name)[kept] for name in ("t_u", "t_c", "lines")},
            predictions=predictions[kept],
            tangents=tangents[kept],
            root=None if self.root is None else self.root[kept],
            predict=None,
            refit=None,
        )

    def best_by(self, kept: Bools) -> tuple[Floats, Floats]:
        """Predictions (N,) and tangents (N, K) of all by the best fit to those kept (N,)."""
        if self.refit:
            return self.refit(kept)
        weighted = (self.weights[:, None] * self.columns)[kept]
        moved = self.columns @ np.linalg.lstsq(weighted, self.residuals[kept], rcond=None)[0]
        return self.t_c - self.residuals / self.weights + moved, self.tangents


def _across(basis: Floats, values: Floats) -> Floats:
    """The part of values (N,) or (N, q) that is orthogonal to an orthonormal basis (N, K), to rounding."""
    for _ in range(2):
        values = values - basis @ (basis.T @ values)
    return values


def _step(values: Floats) -> float:
    """The largest number that all values (N,) are multiples of; 0 where it is beyond a float's digits.

    >>> _step(np.array([0.5, 14.0, 15.0])), _step(np.array([0.0, 10.0, 25.0])), _step(np.array([1.3, 2.14]))
    (0.5, 5.0, 0.02)
    """
    size = float(np.abs(values).max())
    for decimals in range(23):  # powers of ten that are floats
        unit = 10.0**decimals
        if size * unit * EPS >= 1:
            break
        if np.array_equal(np.rint(values * unit) / unit, values):
            return math.gcd(*map(int, np.rint(values * unit))) / unit
    return 0.0
