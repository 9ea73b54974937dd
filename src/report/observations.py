"""Each observation beside what the best run makes of it: a table for those who look for the odd one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from ..data import Pairs
from ..diagnostics import influence
from ..diagnostics.fitted import Fitted
from ..fit.caution import as_fitted
from ..tracking.model_choice import is_trained
from ..tracking.predictor import function_of
from ..tracking.record import TrackedRun
from .comparison import Comparison


def as_frame(comparison: Comparison) -> pd.DataFrame | None:
    """Of the best run; None where the data are gone, or no run has a calibration."""
    best, pairs = comparison.best, comparison.pairs
    return frame_of(best, pairs) if best and pairs and best.calibration() else None


def frame_of(run: TrackedRun, pairs: Pairs) -> pd.DataFrame:
    """A row for each observation, in the file's order, of a run that has a calibration.

    Its line in the file, reading and reference value, the run's prediction and what is left; of a run that is
    trained enough, under squares, what the observation does to the fit, see `diagnostics.influence`.
    """
    fit, settings = fitted(run, pairs), pairs.settings
    given = {"line": pairs.lines, settings.input: pairs.t_u, settings.target: pairs.t_c}
    frame = pd.DataFrame(given | {"predicted": fit.predictions, "residual": pairs.t_c - fit.predictions})
    if not is_tested(run):
        return frame
    columns = {name: np.array(values, dtype=float) for name, values in influence.columns(fit).items()}
    return frame.assign(**columns)


def is_tested(run: TrackedRun) -> bool:
    """Whether tests and influences are the run's: of squares, and of one that is trained enough."""
    return is_trained(run) and run.is_under_squares


def fitted(run: TrackedRun, pairs: Pairs) -> Fitted:
    """A run's fit as its tests see it."""
    found = run.calibration()
    assert found
    params, about = found
    model = function_of(run)
    t_seen = about.apply(torch.from_numpy(pairs.t_u), torch.float64)
    values = torch.tensor(list(params.values()), dtype=torch.float64)
    predictions = model(t_seen, *values).expand(len(t_seen))
    return as_fitted(pairs, run.params["model"], model, t_seen, values, predictions)
