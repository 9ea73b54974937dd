"""The best fit of any model under any loss, its curvature and covariance: what a run is measured against.

Shapes and symbols as in `point.py`; parameters and losses in the units of readings and targets.

A loss is known by what it does. One with a curvature: least squares first (closed for a model linear in its
parameters, else by Levenberg and Marquardt), then the steps of Newton and of reweighted least squares.
Absolute errors have a corner for a valley: `absolute.py` leads to it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..losses import Loss
from ..models import Model
from .absolute import corner_variance, is_absolute, is_balanced, lowest_corner
from .point import Point, shortest

SETTLED = 1e-8  # part of psi that may lie along the tangents: eight digits beyond the standard errors
STEPS = 100  # Newton's step ends most searches after five to ten
EVALUATIONS = 1000, 100  # by Levenberg and Marquardt from the start, and from those near it; 20 are common
OTHERS = 12  # starts near the given one
MORE = 2  # tries after the first that has settled, where there may be a lower valley


@dataclass(frozen=True)
class BestFit:
    """The lowest point found: `params` (K,), the mean `loss`, its `hessian` and the `covariance` (K, K).

    `variance` is that of one observation, the covariance over `(J'J)**-1`; NaN where nothing tells it.

    No hessian for absolute errors, or where it is not finite. No covariance where N <= K, where it is
    singular, and for absolute errors of fewer than 8 observations. Not `settled`: no stationary point was
    found, or it is not the only one around, and no gap may be measured to it.
    """

    params: Tensor
    loss: float
    hessian: Tensor | None
    covariance: Tensor | None
    variance: float
    settled: bool


def best_fit(model: Model, loss: Loss, t_u: Tensor, t_c: Tensor, start: Tensor) -> BestFit:
    """The lowest mean loss over readings and targets (N,), float64, searched from `start` (K,).

    Where the model is linear in its parameters, one search, whatever the start. Else from the start and then
    from up to 12 fixed ones near it, to the second after one has settled; the lowest that has.
    Where none has, the lowest of all, told as such. What the model or the loss raises reaches the caller.
    """
    point = Point(model, loss, t_u, t_c, is_linear(model, t_u, start), start.detach().double())
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # an overflow far from the best fit is no news
        return min(_tries(point), key=lambda fit: (not fit.settled, fit.loss))


def is_linear(model: Model, t_u: Tensor, start: Tensor) -> bool:
    """Whether the model is `sum of params[k] * column_k(t_u)`, to rounding, on fixed trials.

    They have both signs and up to a million times the size of `start` (K,). False for what cannot be called.
    """
    try:
        return _is_linear(model, t_u.double(), start.detach().double())
    except Exception:  # a function of something else
        return False


def _is_linear(model: Model, t_u: Tensor, start: Tensor) -> bool:
    units = torch.eye(len(start), dtype=torch.float64)
    columns = torch.stack([model(t_u, *unit).expand_as(t_u) for unit in units], dim=-1)  # (N, K)
    sizes = torch.where(start == 0, 1, start) * torch.tensor([[0.0], [1e-3], [1.0], [1e3], [1e6]])
    trials = torch.cat([_noise(5, len(start)), _noise(5, len(start)) * sizes])
    return all(
        bool(((model(t_u, *p) - columns @ p).abs() <= 1e-13 * (columns.abs() @ p.abs())).all())
        for p in torch.cat([trials, -trials])
    )


def _noise(*shape: int) -> Tensor:
    """The same standard normal numbers each time."""
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape))


def _tries(point: Point) -> Iterator[BestFit]:
    """The fit from each start, and after one that has settled from two more."""
    more, settled = MORE, False
    for start, evaluations in _starts(point):
        fit = _fit(_least_squares(start, evaluations))
        yield fit
        more, settled = more - settled, settled or fit.settled
        if not more:
            return


def _starts(point: Point) -> Iterator[tuple[Point, int]]:
    """The start, then some around it, each a little wilder: by a factor, a zero by a summand.

    With the evaluations that each is worth: without an end, where there is no best fit, a minute would go by.
    """
    yield point, EVALUATIONS[0]
    if point.linear or len(point.t_c) < len(point.params):  # no other would fare better
        return
    start = point.params
    for spread, noise in zip(np.linspace(0.1, 2, OTHERS), _noise(OTHERS, len(start)), strict=True):
        shaken = torch.where(start == 0, spread * noise, start * (spread * noise).exp())
        yield point.at(shaken), EVALUATIONS[1]


def _least_squares(point: Point, evaluations: int) -> Point:
    """The squares' best fit, where another loss's search begins: least squares have the surest search."""
    if point.linear:
        origin = point.at(torch.zeros_like(point.params))
        return origin.moved(_gauss(origin, torch.ones_like(point.t_c)))
    return _levenberg_marquardt(point, evaluations) if len(point.t_c) >= len(point.params) else point


def _levenberg_marquardt(point: Point, evaluations: int) -> Point:
    from scipy.optimize import least_squares  # type: ignore[import-untyped]

    def bounded(values: Tensor) -> np.ndarray:
        return values.nan_to_num(1e150, 1e150, -1e150).numpy()  # the search turns back from an overflow

    found = least_squares(
        lambda params: bounded(point.at(torch.tensor(params)).residuals),
        point.params.numpy(),
        jac=lambda params: bounded(point.at(torch.tensor(params)).jacobian),
        **{"method": "lm", "x_scale": "jac", "max_nfev": evaluations},
        **dict.fromkeys(("ftol", "xtol", "gtol"), 1e-15),
    )
    return point.at(torch.from_numpy(found.x))


def _fit(point: Point) -> BestFit:
    """From the least squares to the best fit of the loss itself."""
    if not point.finite:
        return BestFit(point.params, point.loss, None, None, math.nan, settled=False)
    if is_absolute(point):
        point = lowest_corner(point)
        variance = corner_variance(point)
        covariance = _covariance(point, variance)
        return BestFit(point.params, point.loss, None, covariance, variance, is_balanced(point))
    point = _downhill(point)
    hessian = point.hessian if point.hessian.isfinite().all() else None
    variance = _pooled_variance(point)
    covariance = _covariance(point, variance)
    return BestFit(point.params, point.loss, hessian, covariance, variance, _is_stationary(point))


def _downhill(point: Point) -> Point:
    """By Newton's step where it helps, else by a reweighted one, halved as often as it leads uphill."""
    for _ in range(STEPS):
        lower = next((each for each in _steps(point) if _is_better(each, point)), None)
        if lower is None:
            break
        point = lower
    return point


def _steps(point: Point) -> Iterator[Point]:
    newton, failed = torch.linalg.solve_ex(point.bend, -(point.slopes @ point.tangents))
    if not failed:
        yield point.moved(newton)
    step = _gauss(point, _weights(point))
    for _ in range(30):
        yield (reached := point.moved(step))
        if reached.loss <= point.loss + point.noise:
            return  # level: a shorter step would be too
        step = step / 2


def _is_better(one: Point, other: Point) -> bool:
    """Lower, or level and nearer to stationary: the loss alone would give half the digits."""
    if not (one.loss <= other.loss + other.noise and one.finite):
        return False
    return one.loss < other.loss - other.noise or one.pull < other.pull / 2


def _weights(point: Point) -> Tensor:
    """`psi / r` (N,), and its limit psi' at r = 0. Source: Huber, Robust Statistics (1981), 7.8."""
    return torch.where(point.residuals == 0, point.bends, point.slopes / point.residuals).clamp(min=0)


def _gauss(point: Point, weights: Tensor) -> Tensor:
    """The step (K,) to the least squares of the tangent plane, under weights (N,)."""
    root = weights.sqrt()
    return shortest(root[:, None] * point.tangents, -root * point.residuals)


def _is_stationary(point: Point) -> bool:
    """Whether psi is orthogonal to the tangents, to 1e-8 of itself or to rounding, in a valley of its own."""
    allowed = SETTLED * float(point.slopes.norm()) + float((point.bends * point.rounding).norm())
    return point.pull <= allowed and point.independent and _is_valley(point)


def _is_valley(point: Point) -> bool:
    """Neither a saddle nor a summit."""
    finite = bool(point.bend.isfinite().all())
    bends = torch.linalg.eigvalsh(point.bend) if finite else -torch.ones(1)
    return bool(bends[0] >= -SETTLED * bends[-1].abs())


def _pooled_variance(point: Point) -> float:
    """`sum psi**2 / (N - K) / (mean psi')**2`, s**2 for squares; NaN for N <= K. Source: Huber (1981) 7.6."""
    free = len(point.t_c) - len(point.params)
    return float((point.slopes**2).sum() / free / point.bends.mean() ** 2) if free > 0 else math.nan


def _covariance(point: Point, variance: float) -> Tensor | None:
    """`variance (J'J)**-1` (K, K), by QR; None where one of them does not exist."""
    if not (math.isfinite(variance) and point.independent):
        return None
    root = torch.linalg.qr(point.tangents).R.inverse() / point.lengths[:, None]
    covariance: Tensor = variance * root @ root.T
    return covariance if covariance.isfinite().all() else None
