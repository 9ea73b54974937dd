"""What is to be known before a calibration is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..data import Pairs
from ..diagnostics.fitted import Bools, Fitted, Floats
from ..losses import mse
from ..models import Model
from ..polynomial import is_polynomial
from .best_fit import is_linear
from .derivatives import slopes
from .yardstick import Yardstick, predict

if TYPE_CHECKING:
    from .plan import Input, Run

SIGNIFICANT = 0.05  # a fit that chance gives more often is none to rely on
UNLIKELY = 0.002  # a chi squared that is as rare: the uncertainties, or the model, are wrong


def cautions(run: Run, is_trained: bool) -> Iterator[str]:
    """Each in a sentence; what speaks against the best fit only of a run that is trained enough."""
    found, data = run.input.yardstick, run.settings.data
    told = list(_against(run.input)) if is_trained and found.loss is mse else []
    yield from told
    if found.by_chance > SIGNIFICANT and not told:
        chance = f"by chance a fit is as good as this in {found.by_chance:.0%} of cases"
        yield f"{data.target} may not depend on {data.input} at all: {chance}"


def _against(best: Input) -> Iterator[str]:
    """What the best fit's residuals say."""
    yield from (finding.sentence for finding in best.findings)
    fit = best.uncertainty
    if fit.chi_squared_p < UNLIKELY:
        free = len(fit.of.t_c) - len(fit.of.params)
        yield (
            f"chi² is {fit.chi_squared:.3g}, where {free} is usual (p = {fit.chi_squared_p:.2g}): "
            "data.sigma is too small, or the model is not the shape of these data"
        )


def as_tested(found: Yardstick, pairs: Pairs, model: str) -> Fitted:
    """A best fit as its tests see it, which can be searched again without some observations."""

    def predictions(readings: Floats) -> Floats:
        t_seen = (found.centred or found.fitted).apply(torch.from_numpy(readings), torch.float64)
        return predict(found.model, t_seen, found.params[None])[0].numpy()

    def refit(kept: Bools) -> tuple[Floats, Floats]:
        params = found.refitted(torch.from_numpy(kept)).params
        t_p = found.predict(params[None])[0]
        return t_p.numpy(), slopes(found.model, found.t_seen, params).numpy()

    return replace(
        as_fitted(pairs, model, found.model, found.t_seen, found.params, found.predictions),
        is_absolute=found.is_absolute,
        predict=predictions,
        refit=None if is_linear(found.model, found.t_seen, found.params) else refit,
    )


def as_fitted(
    pairs: Pairs, called: str, model: Model, t_seen: Tensor, params: Tensor, predictions: Tensor
) -> Fitted:
    """A model of that name as tests see it, with parameters (K,) about an input (N,) and predictions (N,)."""
    settings = pairs.settings
    return Fitted(
        t_u=pairs.t_u,
        t_c=pairs.t_c,
        predictions=predictions.numpy(),
        tangents=slopes(model, t_seen, params).numpy(),
        lines=pairs.lines,
        model=called,
        is_polynomial=is_polynomial(model, len(params)),
        input=settings.input,
        target=settings.target,
        input_unit=settings.input_unit,
        target_unit=settings.target_unit,
        root=None if pairs.sigma is None else 1 / pairs.sigma,
        is_absolute=settings.sigma_is_absolute,
    )
