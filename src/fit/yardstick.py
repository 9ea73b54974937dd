"""Exact yardsticks for a run: the least-squares optimum, the stability limit, standard errors.

Everything here is float64 and closed form, whatever the run was trained in. It holds for models that
are linear in their parameters, as all in `models.py` are; the input may be raw or normalized.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..functions import parameter_names
from ..models import Model
from ..normalization import Affine
from ..polynomial import fold_matrix

# A run has converged when what it could still gain is under this part of the target's variance.
CONVERGED_GAP = 1e-6


def converged_below(t_c: Tensor) -> float:
    """The `loss_gap` under which a run on these targets (N,) has converged."""
    return CONVERGED_GAP * float(t_c.var(correction=0))


@dataclass(frozen=True)
class Optimum:
    """The least-squares fit on raw input.

    `params` (K,), called `names`, in raw units; `loss` the mean squared error there; `standard_errors`
    (K,), NaN where there are as many parameters as observations.
    """

    names: tuple[str, ...]
    params: Tensor
    loss: float
    standard_errors: Tensor

    @property
    def named(self) -> dict[str, float]:
        """`best_w`, `best_b`, …: the parameters as they are on record."""
        return {f"best_{name}": value for name, value in zip(self.names, self.params.tolist(), strict=True)}


def design_matrix(model: Model, t_u: Tensor) -> Tensor:
    """What each parameter multiplies: (N,) -> (N, K) float64, the model at each unit vector of params."""
    units = torch.eye(len(parameter_names(model)), dtype=torch.float64)
    t_u = t_u.to("cpu", torch.float64)
    return torch.stack([model(t_u, *unit).expand(len(t_u)) for unit in units], dim=-1)


def least_squares(model: Model, t_u: Tensor, t_c: Tensor) -> Optimum:
    """The exact optimum of the mean squared error over raw (N,) inputs and (N,) targets.

    Solved by QR on an input brought to [-1, 1] and folded back: on raw input a quadratic over readings in
    the millions would lose most digits. Source of the standard errors: sqrt of the diagonal of
    `s**2 (X'X)**-1`, with `s**2` the residual sum of squares over N - K.
    """
    centred = _centred(t_u)
    design = design_matrix(model, centred.apply(t_u, torch.float64))  # (N, K)
    n, k = design.shape
    q, r = torch.linalg.qr(design)
    params = torch.linalg.solve_triangular(r, (q.T @ t_c)[:, None], upper=True)[:, 0]
    squares = ((design @ params - t_c) ** 2).sum()
    fold = torch.from_numpy(fold_matrix(centred, k))
    # X'X = R'R, so the covariance of the folded parameters is s**2 G G' with G = fold @ R**-1
    root = torch.linalg.solve_triangular(r, fold, upper=True, left=False)
    variance = squares / (n - k) if n > k else torch.tensor(float("nan"), dtype=torch.float64)
    return Optimum(
        names=parameter_names(model),
        params=fold @ params,
        loss=float(squares / n),
        standard_errors=(variance * (root**2).sum(dim=-1)).sqrt(),
    )


def _centred(t_u: Tensor) -> Affine:
    """What brings the input (N,) to [-1, 1]; raises ValueError where it does not vary."""
    spread = t_u.max() - t_u.min()
    if not (0 < spread < torch.inf and 1 / spread < torch.inf):
        raise ValueError("an input that varies, within the range of arithmetic, is needed")
    per_spread = float(1 / spread)
    return Affine(float(t_u.min()) + 0.5 / per_spread, 2 * per_spread)


def stability_limit(model: Model, t_un: Tensor) -> float:
    """The learning rate beyond which full-batch descent on normalized input (N,) must diverge.

    `2 / lambda_max`: a step multiplies the error along an eigenvector of the loss's Hessian by
    `1 - lr * lambda`, which must stay within (-1, 1).
    """
    return 2 / float(hessian_eigenvalues(model, t_un)[-1])


def hessian_eigenvalues(model: Model, t_un: Tensor) -> Tensor:
    """Of the loss's Hessian `2/N X'X` on normalized input (N,): (K,) float64, ascending."""
    design = design_matrix(model, t_un)
    singular_values: Tensor = torch.linalg.svdvals(design)
    return 2 / len(design) * singular_values.flip(0) ** 2


def fastest_rate(eigenvalues: Tensor) -> float:
    """The learning rate whose slowest direction is fastest: `2 / (lambda_min + lambda_max)`.

    Source: Polyak, Introduction to Optimization (1987), 1.4.
    """
    return 2 / float(eigenvalues[0] + eigenvalues[-1])


def epochs_enough(eigenvalues: Tensor, lr: float, start_gap: float, gap: float) -> float:
    """The epochs after which descent from `start_gap` is certainly under `gap`; infinity for never.

    The gap is a sum of squares, each multiplied by `(1 - lr * lambda)**2` an epoch, so the largest of
    these factors bounds them all. A bound in exact arithmetic: float32 may not resolve so small a gap.
    """
    factor = float((1 - lr * eigenvalues).abs().max())
    if start_gap <= gap:
        return 0
    if factor == 0:
        return 1
    return math.ceil(math.log(gap / start_gap) / (2 * math.log(factor))) if factor < 1 else math.inf


def loss_gap(model: Model, raw: Tensor, optimum: Optimum, t_u: Tensor) -> Tensor:
    """Loss minus the optimum's loss: raw parameters (R, K) over raw (N,) inputs -> (R,) float64.

    The residuals of the optimum are orthogonal to all predictions, so the difference is the mean square
    of the predictions' distance: never negative, and exact far below the rounding of the loss.
    """
    distance = (raw.to(torch.float64) - optimum.params) @ design_matrix(model, t_u).T  # (R, N)
    return (distance**2).mean(dim=-1)
