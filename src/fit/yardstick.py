"""Yardsticks for a run, whatever was chosen: the best fit, the stability limit, how near is near enough.

Everything here is float64, whatever the run was trained in. A best fit is a run's own: it follows from the
functions, the data, the normalization and the start, never from the company that the run trains in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..functions import parameter_names
from ..losses import Loss, mse
from ..models import Model
from ..normalization import UNCHANGED, Affine
from ..polynomial import fold_matrix, is_polynomial
from .best_fit import BestFit, best_fit
from .derivatives import second_derivatives, slopes
from .least_squares import design_matrix, least_squares
from .raw_units import about_raw_input, folded
from .rounding import Rounding, resolved
from .significance import by_chance
from .stability import eigenvalues, linear_curvature, parameter_scales
from .weights import EQUAL, Weights

# A run has converged within a hundredth of a standard error for each parameter: this is the square.
CLOSE = 1e-4
SAME = 5e-10  # of the predictions' span: how far two forms of a model may be apart, but for rounding


@dataclass(frozen=True)
class Yardstick:
    """The best fit of a model to N pairs, and what follows from it.

    A polynomial's `params` (K,) are of the input `centred` on [-1, 1], where no digits are lost, to which
    `fold` (K, K) takes those that are trained; another model's are as trained, and both are None. `scales`
    (K,) are the units in which descent sees the parameters as trained, and `curvature` (K,) the eigenvalues
    of the loss's Hessian in these, ascending; empty where it has none.
    """

    model: Model
    loss: Loss
    fitted: Affine
    t_u: Tensor  # (N,) float64
    t_c: Tensor  # (N,) float64
    weights: Weights
    centred: Affine | None
    fold: Tensor | None
    fit: BestFit
    params: Tensor
    scales: Tensor
    curvature: Tensor

    @cached_property
    def t_un(self) -> Tensor:
        """The normalized input (N,), float64."""
        return self.fitted.apply(self.t_u, torch.float64)

    @cached_property
    def t_seen(self) -> Tensor:
        """The input (N,) that `params` are about."""
        return self.centred.apply(self.t_u, torch.float64) if self.centred else self.t_un

    @cached_property
    def predictions(self) -> Tensor:
        """The best fit's, (N,)."""
        return self.predict(self.params[None])[0]

    def named(self, in_raw_units: bool) -> dict[str, float]:
        """`best_w`, `best_b`, …: in raw input units, NaN where these lose digits, or as trained."""
        params = self.raw_params if in_raw_units else self.trained_params
        names = parameter_names(self.model)
        return {f"best_{name}": value for name, value in zip(names, params.tolist(), strict=True)}

    @property
    def is_quadratic(self) -> bool:
        """Whether the loss is, in the parameters: its curvature is the same everywhere."""
        return self.loss is mse and is_polynomial(self.model, len(self.params))

    @property
    def is_raw(self) -> bool:
        """Whether the model of any such normalization is one of the raw input: a polynomial is."""
        return self.centred is not None or self.fitted == UNCHANGED

    @cached_property
    def limit(self) -> float:
        """The learning rate beyond which descent near the best fit must diverge; NaN where none is known.

        `2 / lambda_max`: a step multiplies the error along an eigenvector of the loss's Hessian by
        `1 - lr * lambda`, which must stay within (-1, 1).
        """
        largest = float(self.curvature[-1:].sum()) if self.fit.settled else 0.0
        return 2 / largest if largest > 0 else math.nan

    @cached_property
    def condition_number(self) -> float:
        """The largest curvature over the least: the epochs that descent takes go with it. NaN for none."""
        if not len(self.curvature) or self.curvature[0] <= 0:
            return math.nan
        return float(self.curvature[-1] / self.curvature[0])

    def enough(self, dtype: torch.dtype) -> float:
        """The mean square of the predictions' distance from the best fit's up to which a run has converged.

        `d' C^-1 d < 1e-4 K`, d the parameters' distance and C their covariance, is that of the predictions.
        Of an exact fit: what the dtype of the training resolves. Never less than float64 does, in which the
        distance is measured.
        """
        if self._is_exact:
            return resolved(dtype, self.largest_target)
        return max(self.statistical, resolved(torch.float64, self.largest_target))

    @property
    def statistical(self) -> float:
        """What of `enough` the scatter of the data gives."""
        return CLOSE * len(self.params) * self.variance / len(self.t_c)

    @property
    def variance(self) -> float:
        """That of an observation of weight 1, the covariance over `(J'J)**-1`: known, or from the residuals.

        NaN where nothing tells it.
        """
        if self.is_absolute:
            assert self.weights.sigma
            return self.weights.sigma**2
        return self.fit.variance

    @property
    def is_absolute(self) -> bool:
        """Whether the uncertainties of the reference values are known, and not from the residuals."""
        return self.loss is mse and self.weights.is_known

    @cached_property
    def largest_target(self) -> float:
        """Without its sign."""
        return float(self.t_c.abs().max())

    @cached_property
    def _is_exact(self) -> bool:
        """Whether nothing but rounding is left of the targets, and nothing else tells how good they are."""
        if self.is_absolute:
            return False
        rounding = torch.finfo(torch.float64).eps * self.largest_target
        left = float((self.predictions - self.t_c).abs().max())
        return len(self.t_c) == len(self.params) or left < 64 * rounding

    def gap_of(self, distance: float) -> float:
        """The gap of predictions at this mean square distance, by the loss's curvature."""
        return distance * self._bend / 2

    @cached_property
    def _bend(self) -> float:
        """The mean of the second derivatives of the readings' losses by their predictions."""
        return float(second_derivatives(self.loss, *self._weighed(self.predictions)).mean())

    def _weighed(self, predictions: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions (..., N) and targets (N,), as the loss takes them."""
        return self.weights.weigh(predictions), self.weights.weigh(self.t_c)

    def resolves(self, dtype: torch.dtype, lr: float) -> bool:
        """Whether descent at this rate can converge in `dtype`, by an estimate of what rounding adds."""
        return self.gap_to_reach(dtype, lr) > 0

    def gap_to_reach(self, dtype: torch.dtype, lr: float) -> float:
        """The gap to be reached in exact arithmetic to converge in `dtype`; 0 where none will do."""
        enough = self.gap_of(self.enough(dtype))
        added = self.rounding(dtype, lr)
        return (math.sqrt(enough) - math.sqrt(added)) ** 2 if added < enough else 0  # distances add up

    def rounding(self, dtype: torch.dtype, lr: float) -> float:
        """The gap that rounding alone leaves at this rate, estimated from above; 0 where nothing tells it."""
        is_known = self.fit.settled and self.fit.hessian is not None
        return self._rounding.gap(dtype, lr) if is_known and self.limit > 0 and self.curvature[0] > 0 else 0

    @cached_property
    def _rounding(self) -> Rounding:
        """Of the rounded terms, which add up to a residual, one in N parts lies along each axis."""
        assert self.fit.hessian is not None
        params = self.trained_params
        fold = torch.eye(len(params), dtype=torch.float64) if self.fold is None else self.fold
        hessian = fold.T @ self.fit.hessian @ fold
        axes = torch.linalg.eigh(hessian * self.scales * self.scales[:, None]).eigenvectors
        terms = (slopes(self.model, self.t_un, params) * params).abs().sum(dim=-1) + self.t_c.abs()
        terms = self.weights.weigh(terms)
        rounded = float(terms.square().mean()) / len(self.t_c)
        spacing = axes.abs().T @ (params.abs() / (2 * self.scales))
        return Rounding(self.curvature, spacing, self.gap_of(rounded))

    @cached_property
    def by_chance(self) -> float:
        """The probability of a best fit as good as this one if the input said nothing of the target.

        Under squares, of models with a constant; NaN elsewhere.
        """
        n, k = len(self.t_c), len(self.params)
        if self.loss is not mse or not 1 < k < n or not self.fit.settled:
            return math.nan
        return by_chance(n, k, self.left_over)

    @cached_property
    def left_over(self) -> float:
        """The part of the targets' squares about their weighted mean that the best fit leaves: 1 - R²."""
        t_p, t_c = self._weighed(self.predictions)
        ones = self.weights.weigh(torch.ones_like(self.t_c))
        about_mean = t_c - ones * (ones @ t_c) / (ones @ ones)
        return float((t_p - t_c).square().sum() / about_mean.square().sum())

    def as_params(self, trained: Tensor) -> Tensor:
        """Parameters as trained (..., K) -> about the same input as `params`, (..., K) float64."""
        trained = trained.to("cpu", torch.float64)
        return trained if self.fold is None else folded(self.fold, trained)

    @cached_property
    def trained_params(self) -> Tensor:
        """The best fit's (K,), as trained."""
        return self.params if self.fold is None else torch.linalg.solve(self.fold, self.params)

    @cached_property
    def raw_params(self) -> Tensor:
        """The best fit's (K,), in raw input units; NaN where they would not predict the same."""
        return self._where_same(self.as_raw(self.params[None]), self.params[None])[0]

    def as_raw(self, params: Tensor) -> Tensor:
        """(R, K) about the same input as `params` -> about the raw one, NaN where there are none."""
        return about_raw_input(self.model, self.centred or self.fitted, params)

    def in_raw_units(self, trained: Tensor) -> Tensor:
        """Parameters as trained (R, K) -> (R, K); NaN for those that would not predict the same."""
        trained = trained.to("cpu", torch.float64)
        return self._where_same(about_raw_input(self.model, self.fitted, trained), self.as_params(trained))

    def _where_same(self, raw: Tensor, params: Tensor) -> Tensor:
        predicted = self.predict(params)
        span = predicted.amax(dim=-1) - predicted.amin(dim=-1)
        rounding = 4 * torch.finfo(torch.float64).eps * predicted.abs().amax(dim=-1)
        apart = (predict(self.model, self.t_u, raw) - predicted).abs().amax(dim=-1)
        return torch.where((apart <= SAME * span + rounding)[:, None], raw, math.nan)

    def refitted(self, kept: Tensor) -> BestFit:
        """The best fit to the observations kept (N,) alone, searched from this one."""
        weights = self.weights.only(kept)
        t_c = weights.weigh(self.t_c[kept])
        return best_fit(weights.weighed(self.model), self.loss, self.t_seen[kept], t_c, self.params)

    def predict(self, params: Tensor) -> Tensor:
        """(R, K) -> (R, N)."""
        return predict(self.model, self.t_seen, params)

    def losses(self, params: Tensor) -> Tensor:
        """(R, K) -> (R,)."""
        return self.loss(*self._weighed(self.predict(params)))

    def distances(self, params: Tensor, t_seen: Tensor) -> Tensor:
        """The predictions' from the best fit's: parameters (R, K), input (P,) or (R, P) -> (R, P).

        A polynomial's are those of the parameters' difference, and lose no digits to rounding.
        """
        if is_polynomial(self.model, len(self.params)):
            return predict(self.model, t_seen, params - self.params)
        return predict(self.model, t_seen, params) - predict(self.model, t_seen, self.params[None])

    def _distances(self, params: Tensor) -> Tensor:
        """Parameters (R, K) -> (R, N), weighed."""
        return self.weights.weigh(self.distances(params, self.t_seen))

    def gaps(self, params: Tensor) -> Tensor:
        """Loss minus the best fit's: parameters (R, K) -> (R,), NaN where none was found.

        Under squares a polynomial's best residuals are orthogonal to all predictions, so that it is the mean
        square of the predictions' distance: never negative, and exact far below the rounding of the loss.
        """
        if self.loss is not mse:
            gaps = self.losses(params) - self.loss(*self._weighed(self.predictions))
        elif self.is_quadratic:
            gaps = (self._distances(params) ** 2).mean(dim=-1)
        else:
            steps = self._distances(params)
            t_p, t_c = self._weighed(self.predictions)
            gaps = (steps * (steps + 2 * (t_p - t_c))).mean(dim=-1)
        return gaps if self.fit.settled else torch.full_like(gaps, math.nan)

    def converged(self, params: Tensor, dtype: torch.dtype) -> Tensor:
        """Whether runs trained in `dtype` to parameters (R, K) are near enough: (R,)."""
        distances = (self._distances(params) ** 2).mean(dim=-1)
        return (distances <= self.enough(dtype)) & self.fit.settled

    def within_rounding(self, params: Tensor, dtype: torch.dtype) -> Tensor:
        """Whether runs at parameters (R, K) are as near as `dtype` resolves the targets: (R,)."""
        distances = (self._distances(params) ** 2).mean(dim=-1)
        return distances <= resolved(dtype, self.largest_target)


def predict(model: Model, t_u: Tensor, params: Tensor) -> Tensor:
    """Of an input (N,) or (R, N), by parameters (R, K): (R, N)."""
    rows = len(params) if t_u.dim() == 1 or len(t_u) == 1 else len(t_u)
    return model(t_u, *params.unsqueeze(-1).unbind(-2)).expand(rows, -1)


def yardstick(
    model: Model,
    loss: Loss,
    fitted: Affine,
    t_u: Tensor,
    t_c: Tensor,
    start: Tensor,
    scaling: str = "none",
    weights: Weights = EQUAL,
) -> Yardstick:
    """From raw inputs and targets (N,), the normalization and the parameters (K,) to start from.

    Raises ValueError where the input does not vary.
    """
    k = len(start)
    t_un = fitted.apply(t_u, torch.float64)
    scales = parameter_scales(scaling, model, t_un, start)
    weighed, targets = weights.weighed(model), weights.weigh(t_c)
    if not is_polynomial(model, k):
        fit = best_fit(weighed, loss, t_un, targets, start)
        curvature = eigenvalues(fit, scales)
        return Yardstick(
            model, loss, fitted, t_u, t_c, weights, None, None, fit, fit.params, scales, curvature
        )
    # On raw input a parabola over readings in the millions would lose most digits.
    centred = _centred(t_u)
    t_seen = centred.apply(t_u, torch.float64)
    solve = least_squares if loss is mse else best_fit
    fit = solve(weighed, loss, t_seen, targets, torch.zeros(k, dtype=torch.float64))
    fold = torch.from_numpy(fold_matrix(fitted.of(centred), k))
    design = design_matrix(weighed, t_un) * scales
    curvature = linear_curvature(design, loss, weighed(t_seen, *fit.params).expand(len(t_u)), targets)
    return Yardstick(
        model, loss, fitted, t_u, t_c, weights, centred, fold, fit, fit.params, scales, curvature
    )


def _centred(t_u: Tensor) -> Affine:
    """What brings the input (N,) to [-1, 1]; raises ValueError where it does not vary."""
    spread = t_u.max() - t_u.min()
    if not (0 < spread < torch.inf and 1 / spread < torch.inf):
        raise ValueError("an input that varies, within the range of arithmetic, is needed")
    per_spread = float(1 / spread)
    return Affine(float(t_u.min()) + 0.5 / per_spread, 2 * per_spread)
