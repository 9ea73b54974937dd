"""Why a run did not settle, and what to give the command for one that does."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..data import Pairs
from ..normalization import ADVISED, NORMALIZATIONS, Affine
from ..polynomial import is_polynomial
from ..settings import Settings
from ..spelling import overrides
from .yardstick import epochs_enough, fastest_rate, yardstick

if TYPE_CHECKING:
    from .plan import Run

MOST_EPOCHS = 10**7  # advice to wait for longer is none
WORTH_IT = 0.7  # of the epochs that the run at hand needs: what saves less is not worth a word


@dataclass(frozen=True)
class Reason:
    """Why a run diverged, or would have with more epochs, and what to try."""

    cause: str
    advice: str

    def __str__(self) -> str:
        return f"{self.cause}: {self.advice}"


def reason(run: Run, outcome: str) -> Reason | None:
    """None where all is well."""
    settings, limit = run.settings, run.limit
    if run.lr_over_limit > 1 and outcome in ("diverged", "stopped"):
        digits = 2 if run.lr_over_limit > 1.1 else 5
        times = f"{_times(run.lr_over_limit)} times the limit {limit:.{digits}g} of this input"
        return Reason(
            f"lr {settings.lr:g} is {times}",
            f"use a smaller lr{f' or normalization={ADVISED}' if _normalizing_helps(run) else ''}",
        )
    if outcome == "diverged":
        beside = "" if math.isnan(limit) else f", though lr {settings.lr:g} is under the limit {limit:.2g}"
        return Reason(
            f"the loss left the range of {settings.dtype}{beside}",
            f"try a nearer model.start{' or dtype=float64' if settings.dtype == 'float32' else ''}",
        )
    return None


def _times(ratio: float) -> str:
    """At least two digits, more of what is nearly 1, and no power of ten: 1.0004, 1.2, 29, 1234."""
    if ratio < 1.1:
        return f"{ratio:.5g}"
    return f"{ratio:.2g}" if not 99 < ratio < 1e6 else f"{ratio:.0f}"


def _normalizing_helps(run: Run) -> bool:
    """Whether the same lr is stable under the advised normalization; known of polynomials at once."""
    problem = run.problem
    if not is_polynomial(problem.model, len(problem.names)):
        return False
    start = torch.zeros(len(problem.names), dtype=torch.float64)
    advised = NORMALIZATIONS[ADVISED](problem.t_u)
    found = yardstick(problem.model, problem.loss, advised, problem.t_u, problem.t_c, start)
    return run.settings.lr < found.limit


def next_tries(settings: Settings, fitted: Affine, pairs: Pairs) -> list[dict[str, str]]:
    """The overrides of runs that converge, where one with these settings did not; the nearest first.

    Each is enough by `epochs_enough` from the run's own start: certainly, in exact arithmetic, where the
    loss is quadratic, and else by its curvature at the best fit, an estimate.
    """
    t_u = torch.from_numpy(pairs.t_u)
    given = overrides(settings)
    kept = {key: value for key, value in given.items() if key not in ("lr", "epochs")}
    elsewhere = {key: value for key, value in kept.items() if not key.startswith("normalization")}
    tries: list[tuple[dict[str, str], Affine, float | None]] = [
        (kept, fitted, settings.lr),
        (kept, fitted, None),
    ]
    if settings.normalization.name != ADVISED and not settings.model.physical:
        tries.append((elsewhere | {"normalization": ADVISED}, NORMALIZATIONS[ADVISED](t_u), None))
    found, fewest = [], math.inf
    for how, affine, rate in tries:
        lr, epochs = _enough(settings, pairs, affine, rate)
        if epochs <= min(MOST_EPOCHS, WORTH_IT * fewest):
            fewest = epochs
            found.append(how | {"lr": f"{lr:g}", "epochs": f"{epochs:.0f}"})
    return found


def _enough(settings: Settings, pairs: Pairs, affine: Affine, rate: float | None) -> tuple[float, float]:
    """The learning rate, the fastest where none is given, and the epochs that are enough with it."""
    start = torch.tensor(settings.model.start_in_order, dtype=torch.float64)
    t_u, t_c = torch.from_numpy(pairs.t_u), torch.from_numpy(pairs.t_c)
    model, loss = settings.model.chosen, settings.loss.function
    found = yardstick(model, loss, affine, t_u, t_c, start, settings.scaling)
    if math.isnan(found.limit) or not found.fit.settled:
        return rate or math.nan, math.inf
    lr = rate or _rounded(fastest_rate(found.curvature), math.floor)
    start_gap = float(found.gaps(found.as_params(start)[None]))
    steps = epochs_enough(found.curvature, lr, start_gap, found.gap_enough)
    epochs = steps + 1  # a run's loss is measured before its last step
    return lr, _rounded(epochs, math.ceil) if math.isfinite(epochs) else epochs


def _rounded(number: float, how: Callable[[float], int]) -> float:
    """To two digits: 0.0329 down to 0.032, 1236 up to 1300."""
    unit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return how(round(number / unit, 6)) * unit
