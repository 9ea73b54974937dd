"""How well the data settle a best fit: standard errors, its curve's uncertainty, and how good it is.

Shapes as everywhere: N observations, K parameters. Whether this is a run's, `training_error` decides: how far
the run is from the best fit, in standard uncertainties of the curve.
Sources: GUM (JCGM 100); Draper and Smith, Applied Regression Analysis; Seber and Wild, Nonlinear Regression;
ISO 28037 where the uncertainties of the reference values are known; Huber (1981) 7.6 and Koenker (2005) for
other losses; Hurvich and Tsai (1989) for AICc.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd import functional

from ..losses import mse
from ..polynomial import is_polynomial
from .criterion import criterion
from .derivatives import slopes
from .left_out import left_out
from .redundancy import Redundancy, redundancies
from .rounding import resolved
from .yardstick import CLOSE, Yardstick

COARSE, FINE = 65, 17  # points of the range, and of the two cells around the largest error,
NARROWED = 3  # which are looked at three times in all
LOST = 1e-9  # how near to 1 a leverage is 1
TOGETHER = 10_000  # runs whose errors are looked for at once


@dataclass(frozen=True)
class Uncertainty:
    """What the best fit of a yardstick says of itself; of an exact one nothing, but for rounding."""

    of: Yardstick

    @cached_property
    def factor(self) -> Tensor | None:
        """`F` (K, K), such that `F F'` is the covariance of the yardstick's `params`.

        `variance (J'J)**-1`, J the tangents and not the full Hessian where the model is not linear. None
        where nothing tells it: too few observations, dependent parameters, nothing left but rounding.
        """
        found = self.of
        statistical = found.statistical
        if not (found.fit.settled and statistical > resolved(torch.float64, found.largest_target)):
            return None
        if len(found.curvature) and found.curvature[0] <= 0 < found.curvature[-1]:
            return None  # no curvature along some direction, as of a loss that is straight there
        lengths = self.tangents.norm(dim=0)
        root = torch.linalg.qr(self.tangents / lengths).R
        factor: Tensor = math.sqrt(found.variance) * torch.linalg.inv(root) / lengths[:, None]
        return factor if factor.isfinite().all() else None

    @cached_property
    def tangents(self) -> Tensor:
        """`J` (N, K), weighed."""
        found = self.of
        by_reading = slopes(found.model, found.t_seen, found.params)
        return found.weights.weigh(by_reading.T).T

    @cached_property
    def redundancies(self) -> list[Redundancy]:
        """Parameters that the data cannot tell apart, at the lowest point found; none of a best fit."""
        is_told = self.of.fit.settled or not self.tangents.isfinite().all()
        return [] if is_told else redundancies(self.tangents)

    @cached_property
    def covariance(self) -> Tensor | None:
        """Of the `params`, (K, K)."""
        return None if self.factor is None else self.factor @ self.factor.T

    @property
    def degrees_of_freedom(self) -> int | None:
        """Of Student's t; None for the normal distribution, where the uncertainties of the data are known."""
        return None if self.of.is_absolute else len(self.of.t_c) - len(self.of.params)

    @cached_property
    def trained_errors(self) -> Tensor | None:
        """The standard errors (K,) of the parameters as trained."""
        fold = self.of.fold
        as_they_are = torch.eye(len(self.of.params), dtype=torch.float64)
        return self._errors(as_they_are if fold is None else torch.linalg.inv(fold))

    @cached_property
    def raw_errors(self) -> Tensor | None:
        """Those in raw input units (K,), to first order."""
        if self.factor is None:
            return None
        return self._errors(functional.jacobian(self._as_raw, self.of.params))  # type: ignore[no-untyped-call]

    def _as_raw(self, params: Tensor) -> Tensor:
        return self.of.as_raw(params[None])[0]

    def _errors(self, moves: Tensor) -> Tensor | None:
        """Of parameters that move so (K, K) with the `params`."""
        return None if self.factor is None else _lengths(moves @ self.factor)

    def of_curve(self, t_seen: Tensor) -> Tensor:
        """The standard uncertainty of the best fit's curve, at inputs (...) as the `params` take them."""
        assert self.factor is not None
        by_input = slopes(self.of.model, t_seen.flatten(), self.of.params)
        return _lengths(by_input @ self.factor).reshape(t_seen.shape)

    @cached_property
    def convincing(self) -> float:
        """The training error up to which a run may have converged, which is within `0.01 sqrt(K)`."""
        return math.sqrt(CLOSE * len(self.of.params)) * (1 + 1e-9)

    def training_errors(self, params: Tensor) -> Tensor:
        """Of runs at `params` (R, K): (R,), NaN where nothing tells them.

        The largest distance of their curves from the best fit's over the calibrated range, in standard
        uncertainties of the curve. For a model that is linear in its parameters at most
        `sqrt(gap (N - K) / best_loss)` under squares.
        """
        if self.factor is None:
            return torch.full((len(params),), math.nan, dtype=torch.float64)
        return torch.cat([self._training_errors(part) for part in torch.split(params, TOGETHER)])

    def _training_errors(self, params: Tensor) -> Tensor:
        grid = torch.linspace(0, 1, COARSE, dtype=torch.float64)
        left, right = self.of.t_seen.min()[None], self.of.t_seen.max()[None]
        for _ in range(NARROWED):
            seen = left[:, None] + (right - left)[:, None] * grid
            errors = self.of.distances(params, seen).abs() / self.of_curve(seen)
            errors = errors.nan_to_num(0, math.inf)  # where all curves of a model meet there is none
            place = errors.argmax(dim=-1, keepdim=True)
            seen = seen.expand(len(params), -1)
            left = seen.gather(-1, (place - 1).clamp(min=0))[:, 0]
            right = seen.gather(-1, (place + 1).clamp(max=len(grid) - 1))[:, 0]
            grid = torch.linspace(0, 1, FINE, dtype=torch.float64)
        return _highest(errors)

    @cached_property
    def chi_squared(self) -> float:
        """The sum of the squared residuals in units of their uncertainties; NaN where these are not known."""
        if not self.of.is_absolute:
            return math.nan
        return float(self._weighed_squares) / self.of.variance

    @cached_property
    def chi_squared_p(self) -> float:
        """The probability of one as large, with N - K degrees of freedom; NaN for none."""
        free = len(self.of.t_c) - len(self.of.params)
        halves = torch.tensor([free / 2, self.chi_squared / 2], dtype=torch.float64)
        return float(torch.special.gammaincc(*halves)) if free > 0 else math.nan

    @cached_property
    def _weighed_squares(self) -> Tensor:
        return self.of.weights.weigh(self._residuals).square().sum()

    @cached_property
    def _residuals(self) -> Tensor:
        """(N,), reference value minus prediction."""
        return self.of.t_c - self.of.predictions

    @cached_property
    def residual_sd(self) -> float:
        """`sqrt(sum r**2 / (N - K))`, in the target's unit."""
        free = len(self.of.t_c) - len(self.of.params)
        return math.sqrt(float(self._residuals.square().sum()) / free) if free > 0 else math.nan

    @cached_property
    def max_residual(self) -> float:
        """The largest, without its sign, in the target's unit."""
        return float(self._residuals.abs().max())

    @cached_property
    def r2(self) -> float:
        """`1 - S / S0`, S0 about the weighted mean, for every model; NaN for other losses than squares."""
        return 1 - self.of.left_over if self.of.loss is mse else math.nan

    @cached_property
    def aicc(self) -> float:
        """`N ln(S/N) + sum ln sigma**2 + 2p + 2p(p+1)/(N-p-1)`, p = K + 1; NaN but for squares, N > K + 2.

        Of known uncertainties `chi squared + 2K`: no scale is estimated, and no small sample corrected for.
        """
        n, k = len(self.of.t_c), len(self.of.params)
        if self.of.loss is not mse:
            return math.nan
        if self.of.is_absolute:
            return self.chi_squared + 2 * k
        root = self.of.weights.root
        scatter = 0.0 if root is None else -2 * float(root.log().sum())
        return criterion(n, k, float(self._weighed_squares) / n) + scatter

    @cached_property
    def leverages(self) -> Tensor:
        """(N,): the part of each observation in its own prediction."""
        return _lengths(torch.linalg.qr(self.tangents).Q) ** 2

    @cached_property
    def loo_rmse(self) -> float:
        """The root mean square of the errors of observations by fits without them, as they are weighed.

        From the leverages where the model is a polynomial, or the observations are too many to refit; else
        refitted. NaN where a leverage is 1, and for other losses than squares.
        """
        found = self.of
        if found.loss is not mse or bool((self.leverages > 1 - LOST).any()):
            return math.nan
        refitted = None if is_polynomial(found.model, len(found.params)) else left_out(found)
        errors = self._residuals / (1 - self.leverages) if refitted is None else refitted
        return float(found.weights.weigh(errors).square().mean().sqrt())

    @cached_property
    def loo_loss(self) -> float:
        """The mean loss of observations by fits without them.

        NaN for squares, for more observations than are refitted, and where a fit is not found.
        """
        return math.nan if self._left_out is None else float(self.left_out_losses.mean())

    @cached_property
    def left_out_losses(self) -> Tensor:
        """The loss (N,) of each observation by a fit without it; of too many to refit, by the one fit."""
        errors = self._residuals if self._left_out is None else self._left_out
        t_c = self.of.weights.weigh(self.of.t_c)
        return self.of.loss(self.of.weights.weigh(self.of.t_c - errors)[:, None], t_c[:, None])

    @cached_property
    def _left_out(self) -> Tensor | None:
        return None if self.of.loss is mse else left_out(self.of)

    @cached_property
    def scatter(self) -> float | None:
        """The standard deviation of a new reading's reference value; None for other losses than squares.

        Of known uncertainties their quadratic mean.
        """
        if self.of.loss is not mse:
            return None
        root = self.of.weights.root
        return math.sqrt(self.of.variance * (1.0 if root is None else float((1 / root**2).mean())))

    @cached_property
    def unit(self) -> float:
        """What an uncertainty given for a new reading is multiplied by: the Birge ratio of relative ones."""
        sigma = self.of.weights.sigma
        if sigma is None or self.of.is_absolute or self.of.loss is not mse:
            return 1.0
        return math.sqrt(self.of.variance) / sigma

    def for_predictions(self, common: float) -> dict[str, Any]:
        """What intervals are computed from, for JSON: see `tracking.calibration_model`."""
        assert self.factor is not None
        about = self.of.centred or self.of.fitted
        return {
            "shift": about.shift,
            "scale": about.scale,
            "factor": self.factor.tolist(),
            "df": self.degrees_of_freedom,
            "scatter": self.scatter,
            "unit": self.unit,
            "common": common,
        }


def _lengths(rows: Tensor) -> Tensor:
    """(..., K) -> (...)."""
    found: Tensor = torch.linalg.vector_norm(rows, dim=-1)
    return found


def _highest(values: Tensor) -> Tensor:
    """(R, P) at even steps -> the highest (R,) of a smooth curve through them, by the parabola at its top."""
    place = values.argmax(dim=-1).clamp(1, values.shape[-1] - 2)
    before, at, after = (values.gather(-1, place[:, None] + step)[:, 0] for step in (-1, 0, 1))
    bend, slope = before - 2 * at + after, (after - before) / 2
    top = at - slope**2 / (2 * bend)
    is_inside = (bend < 0) & (slope.abs() <= -bend)
    return torch.where(is_inside, top, values.amax(dim=-1))
