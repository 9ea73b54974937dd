"""Runs over the data that they were trained on: what they predict, and how well that is known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch

from ...config import ConfigError
from ...data import Pairs
from ...polynomial import is_polynomial
from ...tracking.band import Wanted, band
from ...tracking.curve import Curve
from ...tracking.predictor import function_of
from ...tracking.record import UNCERTAINTY, TrackedRun
from ...tracking.standalone import numeric
from ._canvas import Floats
from ._named import MOST_MODELS, is_usable, leaders


@dataclass(frozen=True)
class Fitted:
    """Runs of any models on the same pairs, ranked, best first."""

    pairs: Pairs
    runs: Sequence[TrackedRun]

    @cached_property
    def usable(self) -> list[TrackedRun]:
        """Those with a result, whose models are there."""
        return [run for run in self.runs if is_usable(run) and self.is_there(run)]

    def is_there(self, run: TrackedRun) -> bool:
        """Whether its model can be computed: a function of the user's may be gone, or another by now."""
        try:
            function_of(run)
        except ConfigError:
            return False
        return True

    @cached_property
    def leaders(self) -> Mapping[str, TrackedRun]:
        """The best run of each model, by the model's name, in their order."""
        return {run.params["model"]: run for run in leaders(self.runs) if self.is_there(run)}

    @cached_property
    def optima(self) -> list[TrackedRun]:
        """A run of each model whose best fit is known, the leaders' models first."""
        found = {run.params["model"]: run for run in self.leaders.values() if run.best_fit()}
        for run in self.runs:
            is_new = len(found) < MOST_MODELS and run.params.get("model") not in found
            if is_new and run.best_fit() and self.is_there(run):
                found[run.params["model"]] = run
        return list(found.values())

    @property
    def optimum(self) -> TrackedRun | None:
        """A run whose best fit is known, where there is one model: of several each would hide its leader."""
        return self.optima[0] if len(self.optima) == 1 else None

    def reach(self, run: TrackedRun, t_u: Floats) -> Floats | None:
        """How far the 95 % interval of a run's curve is from it at readings (N,) -> (N,).

        None for a run that has no uncertainty on record. It is the one that `predict --curve` gives.
        """
        record: dict[str, Any] | None = json.loads(run.tags.get(UNCERTAINTY, "null"))
        found = run.calibration()
        if record is None or found is None:
            return None
        params, about = found
        function = numeric(function_of(run))
        ends = float(self.pairs.t_u.min()), float(self.pairs.t_u.max())
        curve = Curve(
            function,
            np.array(list(params.values())),
            about.shift,
            about.scale,
            is_polynomial(function, len(params)),
            *ends,
        )
        with np.errstate(all="ignore"):  # of a function that is not defined beside the range
            return band(curve, record, Wanted(curve=True)).reach(t_u)


def predict(run: TrackedRun, t_u: Floats, kind: Literal["", "best_"] = "") -> Floats:
    """A run's predictions, or its best fit's, for readings (N,) -> (N,)."""
    found = run.best_fit() if kind else run.calibration()
    assert found
    params, about = found
    model = function_of(run)
    t_seen = about.apply(torch.from_numpy(t_u), torch.float64)
    values = model(t_seen, *torch.tensor(list(params.values()), dtype=torch.float64))
    return np.asarray(values.expand(len(t_u)))
