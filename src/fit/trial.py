"""A model, a loss, a normalization tried out before anything is trained: what will not do is refused."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from ..config import ConfigError, one_line
from ..functions import raw_form
from ..losses import Loss
from ..models import Model
from ..normalization import NORMALIZATIONS, Affine
from ..spelling import RECORDED
from ..steps.tape import RandomError, Repeatable
from .derivatives import slopes

# what else has a column of its own
RESERVED = {"loss", "rank", "run_id", "name", "outcome", "reason", "conformity"} | {
    each.about.param for each in RECORDED
}
PREFIXES = ("trained_", "best_", "se_", "path_")
NAMES = r"\w{1,240}"  # what MLflow takes, behind any prefix of ours
ROUNDING, LAST_BITS = 1e-5, 1e-14  # of the predictions' span, and size: what is more is no rounding
FAR_OFF = 1e3  # from targets of 1: where every loss is larger
NEAR = 1e-2  # of the targets' span, and no more than 1: that of huge ones is beyond arithmetic
RUNS = 3  # more than one, and not the number of anything else
ANOTHER = "give another model.start, or a normalization that suits it"
# what torch says where a tensor is taken for a number, as by `if`, `.item()`, math's and numpy's functions
AS_ONE_NUMBER = re.compile(r"Boolean value of Tensor|converted to (Python )?[Ss]calar|Can't call numpy\(\)")
ELEMENT_WISE = "it is of tensors: use torch.where for if, torch.exp for math.exp, and no .item()"
IS_RANDOM = "is random: no run of it could be repeated"


def try_model(
    model: Model, names: tuple[str, ...], called: str, t_un: Tensor, start: Tensor, metrics: Collection[str]
) -> None:
    """Raises ConfigError for a model that cannot be trained from `start` (K,) on `t_un` (N,).

    `called` is its name in the settings; no parameter may be called like one of the `metrics`.
    """
    for name in names:
        if name in RESERVED or name in metrics or name.startswith(PREFIXES):
            raise ConfigError(
                f"model={called}: a parameter cannot be called {name}, which is a column's name"
            )
        if not re.fullmatch(NAMES, name):
            raise ConfigError(
                f"model={called}: a parameter cannot be called {name[:60]}: "
                "MLflow takes letters, digits and _, 240 at most"
            )
    given = t_un.clone()
    params = [value.repeat(RUNS, 1).requires_grad_() for value in start.to(t_un)]  # K of (R, 1)
    try:
        with Repeatable():  # type: ignore[no-untyped-call]
            found = model(given[None], *params)
        again = model(t_un.clone()[None], *params)
        alone = model(given, *start.to(t_un))
        fault = _fault(found, alone, (RUNS, len(t_un)), t_un.dtype) or _company_fault(model, t_un, start)
        if not torch.equal(given, t_un):
            fault = "changes its input in place: compute a new tensor"
        elif _differ(found, again):
            fault = IS_RANDOM
        fault = fault or _slope_fault(found, dict(zip(names, params, strict=True)))
        fault = fault or _step_fault(model, names, t_un, start)
        fault = fault or _raw_form_fault(model, given, start.to(t_un))
        if not fault:
            model(given.requires_grad_(), *start.to(t_un))  # as its graph is drawn
    except RandomError:
        fault = IS_RANDOM
    except (Exception, SystemExit) as error:  # whatever is in it
        fault = f"fails at its start: {type(error).__name__}: {one_line(error)}"
        fault += f": {ELEMENT_WISE}" * bool(AS_ONE_NUMBER.search(str(error)))
    if fault:
        raise ConfigError(f"model={called} {fault}")


def _differ(found: object, again: object) -> bool:
    """Whether two calls with the same values gave others; what is not finite is told otherwise."""
    both = isinstance(found, Tensor) and isinstance(again, Tensor) and bool(found.isfinite().all())
    return both and not torch.equal(found, again)  # type: ignore[arg-type]


def _fault(found: object, alone: object, shape: tuple[int, int], dtype: torch.dtype) -> str:
    """What is wrong with predictions for R runs (R, N) and for one (N,); empty where nothing is.

    The one's parameters ask for no gradients.
    """
    if not isinstance(found, Tensor) or not isinstance(alone, Tensor):
        return f"gives a {type(found).__name__}, where a tensor is needed"
    if found.shape != shape or alone.shape not in (shape[1:], ()):
        return (
            f"gives {tuple(found.shape)} of inputs (1, {shape[1]}) and parameters ({shape[0]}, 1), where "
            f"{shape} is needed: use element-wise operations"
        )
    if found.dtype != dtype:
        return f"{_given(found.dtype, dtype)} of the input"
    if alone.requires_grad:
        return "asks for gradients itself: the training does, by its parameters"
    if not found.isfinite().all():
        return f"is not finite at its start: {ANOTHER}"
    if not torch.allclose(found, alone.expand(shape), equal_nan=True):
        return "does not predict the same for several runs as for one: use element-wise operations"
    return ""


def _given(found: torch.dtype, dtype: torch.dtype) -> str:
    return f"gives {_name(found)}, where {_name(dtype)} is needed: keep the dtype"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _company_fault(model: Model, t_un: Tensor, start: Tensor) -> str:
    """What is wrong with a model whose prediction of a reading depends on the others, t_un (N,).

    Beside the start (K,) it is tried at another place, for a factor of 0 hides what it is a factor of.
    """
    t_un, start = t_un.double(), start.double()
    with warnings.catch_warnings(action="ignore"):  # as of the spread of a single reading
        is_by_reading = _is_by_reading(model, t_un, start)
        with suppress(Exception):  # a function of the user's need not take any parameters
            is_by_reading = is_by_reading and _is_by_reading(model, t_un, start + 1)
    if is_by_reading:
        return ""
    return (
        "predicts a reading otherwise beside others than by itself: use element-wise operations, and no mean "
        "or largest of all readings"
    )


def _is_by_reading(model: Model, t_un: Tensor, params: Tensor) -> bool:
    """Whether predictions (N,) are the same in another order, and of the least and the largest alone.

    Two are enough: what all readings give, as their mean or sum, is not both of these. True where some are
    not finite.
    """
    found = model(t_un, *params).expand_as(t_un)
    rounding = ROUNDING * (found.max() - found.min()) + LAST_BITS * found.abs().max()
    backwards = torch.arange(len(t_un)).flip(0)
    return not found.isfinite().all() or all(
        predicted.numel() <= len(some) and bool(((predicted - found[some]).abs() <= rounding).all())
        for some in (backwards, t_un.argmin()[None], t_un.argmax()[None])
        for predicted in [model(t_un[some], *params)]
    )


def _slope_fault(found: Tensor, params: dict[str, Tensor]) -> str:
    """What is wrong with the derivatives of predictions (R, N) by parameters (R, 1), by name."""
    if not found.requires_grad:
        return "is not differentiable: use torch's operations on its parameters, and keep them tensors"
    by_name = torch.autograd.grad(found[0].sum(), list(params.values()), allow_unused=True)
    for name, slope in zip(params, by_name, strict=True):
        if slope is None:
            return f"does not depend on {name}, or not differentiably: leave it out, or keep it a tensor"
        if not slope.isfinite().all():
            return f"has no finite slope by {name} at its start: {ANOTHER}"
        if slope[1:].any():
            return "mixes runs: use element-wise operations"
    return ""


def _step_fault(model: Model, names: tuple[str, ...], t_un: Tensor, start: Tensor) -> str:
    """What is wrong with one that changes in steps, as by `round`: flat at its start (K,) and beside it."""
    at = start.double() + torch.cat([torch.zeros(1, len(start)), torch.eye(len(start))])  # (1 + K, K)
    try:
        found = model(t_un.double(), *at.unsqueeze(-1).unbind(-2)).expand(len(at), len(t_un))
        slope = slopes(model, t_un.double(), at)  # (1 + K, N, K)
    except Exception:  # a function of the user's need not take any parameters
        return ""
    for place, name in enumerate(names):
        is_flat = not slope[[0, place + 1], :, place].any()
        if is_flat and found[place + 1].isfinite().all() and (found[place + 1] != found[0]).any():
            return f"changes with {name} in steps, as round and sign do: without a slope nothing is learned"
    return ""


def _raw_form_fault(model: Model, t_u: Tensor, params: Tensor) -> str:
    """What is wrong with what a model brings for raw units: an input (N,) that is raw changes nothing."""
    if not (form := raw_form(model)):
        return ""
    raw = form(0.0, 1.0, *params)
    is_same = len(raw) == len(params) and torch.allclose(model(t_u, *raw), model(t_u, *params))
    return "" if is_same else "has another form in raw units, in_raw_units, where nothing is normalized"


def try_normalization(normalization: Callable[[Tensor], object], called: str, t_u: Tensor) -> Affine:
    """What it makes of the input (N,) float64; raises ConfigError for what will not do."""
    try:
        with Repeatable():  # type: ignore[no-untyped-call]
            found = normalization(t_u.clone())
    except RandomError as error:
        raise ConfigError(f"normalization={called} {IS_RANDOM}") from error
    except (Exception, SystemExit) as error:
        if called in NORMALIZATIONS and isinstance(error, ValueError):  # in plain words
            raise ConfigError(one_line(error)) from error
        why = f"{type(error).__name__}: {one_line(error)}"
        raise ConfigError(f"normalization={called} fails: {why}") from error
    pair = (found.shift, found.scale) if isinstance(found, Affine) else found
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise ConfigError(
            f"normalization={called} gives a {type(found).__name__}, where two numbers are needed, the shift "
            "and the scale of (t_u - shift) * scale"
        )
    shift, scale = map(_number, pair)
    if not (math.isfinite(shift) and math.isfinite(scale) and scale):
        raise ConfigError(
            f"normalization={called} gives the shift {shift:g} and the scale {scale:g}, where finite numbers "
            "are needed, and a scale that is not 0"
        )
    return Affine(shift, scale)


def _number(value: Any) -> float:
    """NaN for what is none; a mean is a tensor, and one."""
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return math.nan


def try_loss(loss: Loss, called: str, targets: Tensor) -> None:
    """Raises ConfigError for a loss that cannot be trained by, on targets (N,) in the training's dtype."""
    t_p = torch.linspace(0.5, 1.5, len(targets)).to(targets).repeat(RUNS, 1).requires_grad_()
    t_c = torch.ones_like(targets)[None]
    try:
        with Repeatable():  # type: ignore[no-untyped-call]
            losses = loss(t_p, t_c)
        fault = IS_RANDOM if _differ(losses, loss(t_p, t_c)) else _loss_fault(losses, t_p)
        fault = fault or _target_fault(loss, t_c) or _near_fault(loss, targets.double()[None])
    except RandomError:
        fault = IS_RANDOM
    except (Exception, SystemExit) as error:
        fault = f"fails: {type(error).__name__}: {one_line(error)}"
    if fault:
        raise ConfigError(f"loss={called} {fault}")


def _loss_fault(losses: object, several: Tensor) -> str:
    if not isinstance(losses, Tensor):
        return f"gives a {type(losses).__name__}, where a tensor is needed"
    if losses.shape != (RUNS,):
        return (
            f"gives {tuple(losses.shape)} of predictions {tuple(several.shape)}, where ({RUNS},) is needed, "
            "the mean over the last dimension alone"
        )
    if losses.dtype != several.dtype:
        return f"{_given(losses.dtype, several.dtype)} of the predictions"
    if not losses.isfinite().all():
        return "is not finite where predictions are near"
    if not losses.requires_grad:
        return "is not differentiable: use torch's operations on the predictions"
    (slope,) = torch.autograd.grad(losses[0], several)
    if slope[1:].any():
        return "mixes runs: a run's loss must be of its own predictions alone"
    return "" if slope.isfinite().all() else "has no finite slope where predictions are near"


def _target_fault(loss: Loss, t_c: Tensor) -> str:
    """What is wrong with a loss that is not least at the targets (1, N); what is not finite tells nothing."""
    right = loss(t_c, t_c)
    for off, where in ((-FAR_OFF, "low"), (FAR_OFF, "high")):
        if (loss(t_c + off, t_c) <= right).all():
            return f"is no larger where predictions are far too {where} than where they are right"
    return ""


def _near_fault(loss: Loss, t_c: Tensor) -> str:
    """What is wrong with a loss that has no value beside these targets (1, N), as a logarithm's of -1."""
    aside = min(NEAR * float(t_c.max() - t_c.min()), 1.0) or 1.0
    is_finite = any(loss(t_c + off, t_c).isfinite().all() for off in (-aside, aside))
    return "" if is_finite else "is not finite where predictions are near these targets"
