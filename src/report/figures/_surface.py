"""The loss over a model's parameters, in two directions at most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...data import Pairs
from ...fit.derivatives import slopes
from ...fit.raw_units import about_raw_input
from ...fit.stability import parameter_scales
from ...fit.weights import Weights
from ...fit.yardstick import predict
from ...losses import Loss
from ...models import Model
from ...normalization import UNCHANGED, Affine
from ...settings import Settings
from ...spelling import SCALE, SHIFT
from ...tracking.record import TrackedRun
from ._canvas import Floats

MOST_OBSERVATIONS = 20_000  # whose mean loss is drawn: of more, some evenly spaced in the file
MOST_AT_ONCE = 2**20  # predictions
FIRST_STEP = 200.0  # a diverging run's is shown, unless it is so many times as far as the best fit
FARTHEST = 4.0  # the next steps are shown, unless they take a frame as many times as large
MARGIN = 0.12  # of what the frame holds, on each side


@dataclass(frozen=True, eq=False)
class Surface:
    """The loss over D directions, 1 or 2, in the space of the K parameters as trained, float64.

    The point (D,) of some parameters is `(params - origin) @ inward`; it stands for
    `origin + point @ directions`. Of one parameter or two these are the axes; of more, those through the best
    fit along which the predictions change most and least.
    """

    model: Model
    loss: Loss
    t_un: Tensor  # (N,)
    t_c: Tensor  # (N,)
    weights: Weights
    is_sample: bool
    names: Sequence[str]
    best: Tensor | None  # (K,)
    origin: Tensor  # (K,)
    directions: Tensor  # (D, K)
    inward: Tensor  # (K, D)

    @property
    def is_cut(self) -> bool:
        """Whether there are more parameters than directions."""
        return len(self.origin) > len(self.directions)

    @property
    def best_point(self) -> Floats:
        """(1, D), or (0, D) where no best fit is known."""
        return self.points(torch.empty(0, len(self.names)) if self.best is None else self.best[None])

    def points(self, params: Tensor) -> Floats:
        """(P, K) -> (P, D)."""
        return np.asarray((params - self.origin) @ self.inward)

    def losses(self, points: Floats) -> Floats:
        """(P, D) -> (P,); not a number where there is none."""
        params = self.origin + torch.from_numpy(points) @ self.directions
        parts = torch.split(params, max(1, MOST_AT_ONCE // len(self.t_un)))
        weigh = self.weights.weigh
        found = [self.loss(weigh(predict(self.model, self.t_un, part)), weigh(self.t_c)) for part in parts]
        losses = torch.cat(found)
        return np.asarray(torch.where(losses.isfinite(), losses, math.nan))

    def label(self, direction: int) -> str:
        """A parameter's name, or how much of each goes with one of the one that changes most."""
        if not self.is_cut:
            return self.names[direction]
        parts = zip(self.directions[direction].tolist(), self.names, strict=True)
        (first, *rest) = sorted(parts, key=lambda part: -abs(part[0]))
        terms = [f" {'−' if part < 0 else '+'} {abs(part):.2g} {name}" for part, name in rest]
        return "".join([first[1], *terms])


def surface(run: TrackedRun, settings: Settings, pairs: Pairs) -> Surface:
    """A run's, with its settings and on its N pairs."""
    model, names, about = settings.model.chosen, settings.model.parameters, _normalization(run)
    some = slice(None, None, -(-len(pairs.t_u) // MOST_OBSERVATIONS))
    weights = Weights.of(pairs)
    weights = replace(weights, root=None if weights.root is None else weights.root[some])
    t_un = about.apply(torch.from_numpy(pairs.t_u[some]), torch.float64)
    start = torch.tensor(settings.model.start_in_order, dtype=torch.float64)
    best = _best_fit(run, model, about)
    scales = parameter_scales(settings.scaling, model, t_un, start)
    origin, directions, inward = _plane(weights.weighed(model), t_un, start if best is None else best, scales)
    t_c = torch.from_numpy(pairs.t_c[some])
    is_sample = len(t_un) < len(pairs.t_u)
    loss = settings.loss.function
    return Surface(model, loss, t_un, t_c, weights, is_sample, names, best, origin, directions, inward)


def _normalization(run: TrackedRun) -> Affine:
    return Affine(float(run.params[SHIFT]), float(run.params[SCALE]))


def _best_fit(run: TrackedRun, model: Model, about: Affine) -> Tensor | None:
    """As trained (K,): on record it may be in raw units."""
    if (found := run.best_fit()) is None:
        return None
    params = torch.tensor([*found[0].values()], dtype=torch.float64)
    if found[1] == UNCHANGED != about:
        params = about_raw_input(model, about.inverse, params[None])[0]
    return params if params.isfinite().all() else None


def _plane(model: Model, t_un: Tensor, through: Tensor, scales: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Origin, directions and their inverse: the axes of up to two of K parameters, or a plane of more.

    The plane is that of the extreme eigenvectors of `J'J`, J (N, K) the predictions' derivatives by the
    parameters in the units `scales` (K,) in which descent sees them: near the best fit under squares half the
    loss's Hessian, times N. Each direction changes by 1 the parameter that it changes most.
    """
    k = len(through)
    if k <= 2:
        axes = torch.eye(k, dtype=torch.float64)
        return torch.zeros(k, dtype=torch.float64), axes, axes
    changes = slopes(model, t_un, through) * scales
    axes = torch.linalg.eigh(changes.T @ changes).eigenvectors[:, [-1, 0]]  # (K, 2)
    directions, inward = axes.T * scales, axes / scales[:, None]
    longest = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True))  # (2, 1)
    return through, directions / longest, inward * longest.T


def frame(seen: Floats, path: Floats, is_whole: bool) -> tuple[Floats, Floats]:
    """The lowest and the highest corner, each (D,), of what holds points (S, D) and a path (P, D).

    Of a path that is not to be shown whole, the first step and those of the next that need little more room.
    """
    if is_whole:
        held = np.concatenate([seen, path])
    else:
        held = np.concatenate([seen, _nearby(path[:2], seen, FIRST_STEP)])
        held = np.concatenate([held, _nearby(path, held, FARTHEST)])
    low, high = held.min(axis=0), held.max(axis=0)
    size = high - low
    size = np.where(size > 0, size, 0.1 * np.maximum(np.abs(high), 1.0))  # a path that goes straight
    return low - MARGIN * size, high + MARGIN * size


def _nearby(path: Floats, held: Floats, times: float) -> Floats:
    """A path's first points, those that fit in a frame so many times as large as that of others (S, D)."""
    low, high = held.min(axis=0), held.max(axis=0)
    room = (high - low) * (times - 1) / 2
    return path[: steps_within(path, low - room, high + room)]


def steps_within(path: Floats, low: Floats, high: Floats) -> int:
    """How many of a path's points (P, D) come before the first outside."""
    outside = ((path < low) | (path > high)).any(axis=1)
    return int(outside.argmax()) if outside.any() else len(path)
