"""Each observation beside what the best run makes of it: a table for those who look for the odd one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from ..diagnostics import influence
from ..diagnostics.fitted import Fitted
from ..fit.derivatives import slopes
from ..functions import resolve
from ..models import MODELS
from ..polynomial import is_polynomial
from ..spelling import FIRST_LOSS
from ..tracking.model_choice import is_trained
from .comparison import Comparison


def as_frame(comparison: Comparison) -> pd.DataFrame | None:
    """A row for each, in the file's order; None where the data are gone, or no run has a calibration.

    Its line in the file, reading and reference value, the best run's prediction and what is left; of a run
    that is trained enough, under squares, what the observation does to the fit, see `diagnostics.influence`.
    """
    best, pairs = comparison.best, comparison.pairs
    found = best and best.calibration()
    if not best or not pairs or not found:
        return None
    params, about = found
    model = resolve(best.params["model"], MODELS)
    t_seen = about.apply(torch.from_numpy(pairs.t_u), torch.float64)
    values = torch.tensor(list(params.values()), dtype=torch.float64)
    predicted = model(t_seen, *values).expand(len(t_seen)).numpy()
    settings = pairs.settings
    given = {"line": pairs.lines, settings.input: pairs.t_u, settings.target: pairs.t_c}
    frame = pd.DataFrame(given | {"predicted": predicted, "residual": pairs.t_c - predicted})
    if not is_trained(best) or best.params.get("loss", FIRST_LOSS) != FIRST_LOSS:
        return frame
    fit = Fitted(
        t_u=pairs.t_u,
        t_c=pairs.t_c,
        predictions=predicted,
        tangents=slopes(model, t_seen, values).numpy(),
        lines=pairs.lines,
        model=best.params["model"],
        is_polynomial=is_polynomial(model, len(values)),
        input=settings.input,
        target=settings.target,
        root=None if pairs.sigma is None else 1 / pairs.sigma,
        is_absolute=settings.sigma_is_absolute,
    )
    columns = {name: np.array(values, dtype=float) for name, values in influence.columns(fit).items()}
    return frame.assign(**columns)
