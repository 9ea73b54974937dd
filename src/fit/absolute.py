"""The best fit under absolute errors, whose lowest point is a corner: K observations are met exactly.

Shapes and symbols as in `point.py`. Source: Koenker, Quantile Regression (2005).
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

from .derivatives import gradient
from .point import EPS, Point, shortest

ROUNDS = 200  # linear programs in a search; ten are common, and each takes milliseconds
BALANCED = 1e-8  # how far the shares of the observations that are met may pass 1, or miss the balance


def is_absolute(point: Point) -> bool:
    """Whether the loss's slopes are of one size, for errors of 1e-12 to 1e12 times the targets' spread."""
    spread = float((point.t_c - point.t_c.mean()).abs().max()) or 1.0
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((5, len(point.t_c))))
    tried = point.t_c + spread * torch.tensor([[1e-12], [1e-6], [1.0], [1e6], [1e12]]) * noise
    slopes = torch.stack([gradient(point.loss_of, each) for each in tried])[tried != point.t_c].abs()
    return bool(slopes.max() - slopes.min() <= 1e-9 * slopes.max())


def lowest_corner(point: Point) -> Point:
    """From a point near it: by linear programs, then exactly through K observations.

    Each program is trusted as far as the last one kept its promise; a linear model's holds everywhere.
    """
    radius = math.inf if point.linear else float(point.residuals.norm())
    for _ in range(ROUNDS):
        step = _program(point, radius)
        promised = (point.residuals + point.tangents @ step).abs().sum()
        if not promised < point.residuals.abs().sum() * (1 - EPS):
            break
        lower = point.moved(step)
        point, radius = (lower, 2 * radius) if lower.loss < point.loss else (point, radius / 4)
    return _met(point)


def _program(point: Point, radius: float) -> Tensor:
    """The step (K,), no part of it longer than `radius`, to the least `sum |r + J step|`.

    By the dual, which has K rows instead of N: the greatest `r'z - radius sum |J'z|` of z (N,) within
    [-1, 1]; what its rows are worth is the step. Source: Koenker (2005), 6.2.
    """
    from scipy.optimize import linprog  # type: ignore[import-untyped]

    n, k = point.tangents.shape
    unit = float(point.residuals.abs().max()) or 1.0
    cost, most = (radius / unit, None) if math.isfinite(radius) else (0, 0)
    found = linprog(
        np.r_[-point.residuals / unit, np.full(2 * k, cost)],
        A_eq=np.c_[point.tangents.T, np.eye(k), -np.eye(k)],
        b_eq=np.zeros(k),
        bounds=[(-1, 1)] * n + [(0, most)] * 2 * k,
    )
    return unit * torch.tensor(found.eqlin.marginals if found.success else np.zeros(k))


def _met(point: Point) -> Point:
    """Exactly through the K nearest observations, unless that is higher: a program has some 9 digits."""
    for _ in range(3):  # where the model is not linear, each doubles the digits
        nearest = point.residuals.abs().argsort()[: len(point.params)]
        exact = point.moved(shortest(point.tangents[nearest], -point.residuals[nearest]))
        point = exact if exact.loss <= point.loss * (1 + 4 * EPS) else point
    return point


def is_balanced(point: Point) -> bool:
    """Whether the observations that are met hold the pull of the others, each by a share within [-1, 1].

    The condition on a subgradient: the sum of `sign(r) J` over r not 0, and of `share J` over the rest, is 0.
    """
    from scipy.optimize import lsq_linear

    met = point.residuals.abs() <= 4 * point.rounding
    basis = torch.linalg.qr(point.tangents).Q  # tangents that are nearly dependent would hide a direction
    pull = (point.residuals[~met].sign() @ basis[~met]).numpy()
    rows = basis[met].T.numpy()
    if met.any():
        pull = pull + rows @ lsq_linear(rows, -pull, (-1 - BALANCED, 1 + BALANCED), method="bvls").x
    return point.independent and float(np.linalg.norm(pull)) <= BALANCED * math.sqrt(len(point.t_c))


def corner_variance(point: Point) -> float:
    """What absolute errors have for s**2: `1 / (4 f**2)`, f the density of the residuals at 0; NaN for N < 8.

    By Epanechnikov's kernel and the bandwidth of Hall and Sheather (1988), as statsmodels' QuantReg has it.
    """
    normal, n = NormalDist(), len(point.t_c)
    share = (1.5 * (normal.inv_cdf(0.975) * normal.pdf(0)) ** 2 / n) ** (1 / 3)
    if share >= 0.5:
        return math.nan  # there is no quantile so far out
    low, high = np.percentile(point.residuals, [25, 75])
    spread = min(float(point.t_c.std(correction=0)), float(high - low) / 1.34)
    width = 2 * normal.inv_cdf(0.5 + share) * spread
    kernel = 0.75 * (1 - (point.residuals / width) ** 2).clamp(min=0)
    return float((n * width / kernel.sum()) ** 2 / 4)
