"""What is to be known before a calibration is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from ..data import Pairs
from ..diagnostics.fitted import Bools, Fitted, Floats
from ..losses import mse
from ..polynomial import is_polynomial
from .best_fit import best_fit, is_linear
from .derivatives import slopes
from .weights import Weights
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
    """A best fit as its tests see it."""
    settings = pairs.settings

    def predictions(readings: Floats) -> Floats:
        t_seen = (found.centred or found.fitted).apply(torch.from_numpy(readings), torch.float64)
        return predict(found.model, t_seen, found.params[None])[0].numpy()

    def refit(kept: Bools) -> tuple[Floats, Floats]:
        chosen = torch.from_numpy(kept)
        root = found.weights.root
        weights = Weights(None if root is None else root[chosen])
        t_c = weights.weigh(found.t_c[chosen])
        fit = best_fit(weights.weighed(found.model), found.loss, found.t_seen[chosen], t_c, found.params)
        return (
            predict(found.model, found.t_seen, fit.params[None])[0].numpy(),
            slopes(found.model, found.t_seen, fit.params).numpy(),
        )

    return Fitted(
        t_u=pairs.t_u,
        t_c=pairs.t_c,
        predictions=found.predictions.numpy(),
        tangents=slopes(found.model, found.t_seen, found.params).numpy(),
        lines=pairs.lines,
        model=model,
        is_polynomial=is_polynomial(found.model, len(found.params)),
        input=settings.input,
        target=settings.target,
        input_unit=settings.input_unit,
        target_unit=settings.target_unit,
        root=None if pairs.sigma is None else 1 / pairs.sigma,
        is_absolute=found.is_absolute,
        predict=predictions,
        refit=None if is_linear(found.model, found.t_seen, found.params) else refit,
    )
