"""Why a run did not settle, and what to give the command for one that does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..data import Pairs
from ..loop import LossCurves, training_loop
from ..normalization import ADVISED, NORMALIZATIONS, Affine
from ..settings import Settings
from ..spelling import overrides
from .rates import beyond, epochs_enough, fastest_rate, limit_in_digits, rounded
from .redundancy import Redundancy
from .weights import Weights
from .yardstick import Yardstick, yardstick

if TYPE_CHECKING:
    from .plan import Run

MOST_TRIED = 50_000  # epochs, a second or two
NEAR = range(3, 10)  # digits of the best fit, as few as will do, to start from
MOST_EPOCHS = 10**7  # advice to wait for longer is none
WORTH_IT = 0.7  # of the epochs that the run at hand needs: what saves less is not worth a word


@dataclass(frozen=True)
class Reason:
    """Why a run diverged, or would have with more epochs, and what to try."""

    cause: str
    advice: str

    def __str__(self) -> str:
        return f"{self.cause}: {self.advice}"


def reason(run: Run, outcome: str, diverged_at: int, began: bool) -> Reason | None:
    """None where all is well; `diverged_at` is 0 for a run whose loss grew, but stayed finite.

    `began`: whether its first loss was finite, for else no rate helps.
    """
    settings, lr = run.settings, run.settings.lr
    if outcome == "stopped" and (unclear := run.input.ambiguity):
        return unclear
    limit = limit_in_digits(run.limit, lr) if run.limit > 0 else ""
    if began and run.lr_over_limit > 1 and outcome in ("diverged", "stopped"):
        return Reason(
            f"lr {lr:g} is {beyond(limit, [run.lr_over_limit])} of this input",
            f"use a smaller lr{f' or normalization={ADVISED}' if lr < run.problem.advised_limit else ''}",
        )
    if outcome != "diverged":
        return None
    what = f"the loss left the range of {settings.dtype}" if diverged_at else "the loss grew tenfold"
    if began and not limit:
        return Reason(what, "use a smaller lr")
    helps = settings.dtype == "float32" and run.input.yardstick.is_quadratic
    return Reason(
        f"{what}, though lr {lr:g} is under the limit {limit}" if began else f"{what} at its start",
        f"try a nearer model.start{' or dtype=float64' if helps else ''}",
    )


def ambiguity(names: Sequence[str], found: Sequence[Redundancy]) -> Reason | None:
    """Which of the K parameters the data cannot tell apart; None where these are none."""
    if not found:
        return None
    idle = [names[each.places[0]] for each in found if each.is_without_effect]
    alike = [_and([names[place] for place in each.places]) for each in found if not each.is_without_effect]
    causes = [f"the data cannot tell {' nor '.join(alike)} apart"] if alike else []
    causes += [f"no prediction depends on {_and(idle)} at the lowest loss found"] if idle else []
    many = sum(each.too_many for each in found)
    which = "it" if idle and many == 1 else f"{'one' if many == 1 else many} of them"
    fixed = "it" if many == 1 else "them"
    return Reason("; ".join(causes), f"leave {which} out of the model, or fix {fixed}")


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def outlook(run: Run, gap: float) -> str:
    """What brings a run that stopped at this gap to convergence; empty where that is not known.

    By a bound that holds where the loss is quadratic; a larger lr takes fewer epochs.
    """
    settings, found = run.settings, run.input.yardstick
    if not found.is_quadratic:
        return ""
    close = found.gap_to_reach(run.input.t_un.dtype, settings.lr)
    if not close:
        precise = "; try dtype=float64" if settings.dtype == "float32" else ""
        return f"{settings.dtype} may be too coarse to come closer{precise}"
    epochs = settings.epochs + epochs_enough(found.curvature, settings.lr, gap, close)
    ways = [f"{rounded(epochs, math.ceil):,.0f} epochs are enough"] if epochs <= MOST_EPOCHS else []
    if settings.lr < WORTH_IT * run.input.fastest:
        ways.append(f"fewer with a larger lr, up to {limit_in_digits(run.input.fastest)}")
    return ", ".join(ways)


def next_tries(settings: Settings, fitted: Affine, pairs: Pairs) -> list[dict[str, str]]:
    """The overrides of runs that converge, where one with these settings did not; the nearest first.

    Each is enough from the run's own start: by `epochs_enough` where the loss is quadratic, else because it
    was tried; where none is, from a start near the best fit. In float64 where the run's own dtype cannot get
    there.
    """
    model, start = settings.model, torch.tensor(settings.model.start_in_order, dtype=torch.float64)
    t_u, t_c = torch.from_numpy(pairs.t_u), torch.from_numpy(pairs.t_c)

    def under(affine: Affine) -> Yardstick:
        functions, weights = (model.chosen, settings.loss.function), Weights.of(pairs)
        return yardstick(*functions, affine, t_u, t_c, start, settings.scaling, weights)

    kept = {key: value for key, value in overrides(settings).items() if key not in ("lr", "epochs")}
    elsewhere = {key: value for key, value in kept.items() if not key.startswith("normalization")}
    own = under(fitted)
    tries: list[tuple[dict[str, str], Yardstick, Sequence[float | None]]] = [(kept, own, (settings.lr, None))]
    if settings.normalization.name != ADVISED and not (model.physical or model.through_origin):
        advised = under(NORMALIZATIONS[ADVISED](t_u))
        tries.append((elsewhere | {"normalization": ADVISED}, advised, (None,)))
    enough: list[dict[str, str]] = []
    fewest = math.inf
    for how, found, rates in tries:
        for lr, epochs, dtype in (_enough(settings, found, start, rate) for rate in rates):
            if epochs <= min(MOST_EPOCHS, WORTH_IT * fewest):
                fewest = epochs
                precise = {"dtype": dtype} if dtype != settings.dtype else {}
                enough.append(how | {"lr": f"{lr:g}", "epochs": f"{epochs:.0f}"} | precise)
    return enough or list(_from_nearer(settings, own, kept))


def _from_nearer(settings: Settings, found: Yardstick, kept: dict[str, str]) -> Iterator[dict[str, str]]:
    """The overrides of a run that starts near the best fit, with parameters scaled by their effect there."""
    if found.is_quadratic or not found.fit.settled:
        return
    about = found.model, found.loss, found.fitted, found.t_u, found.t_c
    for digits in NEAR:
        near = [f"{value:.{digits}g}" for value in found.trained_params.tolist()]
        start = torch.tensor([float(value) for value in near], dtype=torch.float64)
        there = yardstick(*about, start, "jacobian", found.weights)
        lr, epochs, dtype = _enough(settings, there, start, None)
        if epochs <= MOST_EPOCHS:
            names = [f"model.start.{name}" for name in settings.model.parameters]
            how = {"scaling": "jacobian", "lr": f"{lr:g}", "epochs": f"{epochs:.0f}"}
            precise = {"dtype": dtype} if dtype != settings.dtype else {}
            yield kept | dict(zip(names, near, strict=True)) | how | precise
            return


def _enough(
    settings: Settings, found: Yardstick, start: Tensor, rate: float | None
) -> tuple[float, float, str]:
    """The learning rate, the fastest where none is given, and the epochs and the dtype that are enough."""
    if math.isnan(found.limit) or not found.fit.settled:
        return rate or math.nan, math.inf, settings.dtype
    lr = rate or rounded(fastest_rate(found.curvature), math.floor)
    start_gap = float(found.gaps(found.as_params(start)[None]))
    own = getattr(torch, settings.dtype)
    dtype = own if found.resolves(own, lr) else torch.float64
    close = found.gap_to_reach(dtype, lr) if found.is_quadratic else found.gap_of(found.enough(dtype))
    epochs = max(1, epochs_enough(found.curvature, lr, start_gap, close))
    epochs = rounded(epochs, math.ceil) if epochs < math.inf else epochs
    if not found.is_quadratic:
        epochs = _tried(found, lr, start.to(dtype), epochs)
    return lr, epochs, str(dtype).partition(".")[2]


def _tried(found: Yardstick, lr: float, params: Tensor, estimate: float) -> float:
    """From an estimate on, twice as many epochs until descent from params (K,) has converged; or infinity.

    Where the loss is not quadratic the curvature at the best fit says little of the way there: huber's slopes
    are bounded, and each step goes so far and no farther.
    """
    epochs, done, dtype = estimate, 0.0, params.dtype
    t_un = found.fitted.apply(found.t_u, dtype)
    while epochs <= MOST_TRIED:
        params = training_loop(
            int(epochs - done),
            lr * found.scales[None] ** 2,
            params,
            t_un,
            found.t_c,
            model=found.model,
            loss_fn=found.loss,
            root=found.weights.root,
            curves=LossCurves([[]]),
        )
        if bool(found.converged(found.as_params(params[None]), dtype)[0]):
            return epochs
        epochs, done = 2 * epochs, epochs
    return math.inf
