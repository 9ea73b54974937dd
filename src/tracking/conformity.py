"""Whether a run keeps the tolerance that it was given, from its curve and the uncertainty on record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import Pairs
from ..diagnostics.tolerance import Conformity
from ..polynomial import is_polynomial
from .band import Wanted, band
from .curve import Curve, Floats
from .standalone import numeric

if TYPE_CHECKING:  # who only reads the record need not wait for torch
    from ..fit.result import Result

CONFORMITY = "conformity"  # the tag of the verdict,
REASON = "conformity_reason"  # and of what it rests on, in words
POINTS = 129  # of the calibrated range


def conformity(curve: Curve, record: Mapping[str, Any], pairs: Pairs, tolerance: float) -> Conformity | None:
    """None where the scatter of a new reading is not known.

    An observation's own `sigma` counts as its scatter.
    """
    if record["scatter"] is None:
        return None
    around = band(curve, record, Wanted(curve=True))

    def expanded(readings: Floats, scatter: Floats | float) -> Floats:
        return np.asarray(around.quantile * np.hypot(around.uncertainties(readings), scatter))

    return Conformity(
        tolerance,
        expanded(np.linspace(curve.low, curve.high, POINTS), record["scatter"]),
        curve.values(pairs.t_u) - pairs.t_c,
        expanded(pairs.t_u, record["scatter"] if pairs.sigma is None else pairs.sigma * record["unit"]),
    )


def tags(result: Result, uncertainty: str | None) -> dict[str, str]:
    """What is on record of a result with this uncertainty, as JSON; nothing where no tolerance was given."""
    settings, pairs = result.run.settings, result.run.problem.pairs
    if settings.tolerance is None or not result.trained:
        return {}
    found = None
    if uncertainty:
        curve = _curve(result, float(pairs.t_u.min()), float(pairs.t_u.max()))
        found = conformity(curve, json.loads(uncertainty), pairs, settings.tolerance)
    if found is None:
        why = f"±{settings.tolerance:g}: undecided; this run has no uncertainty of a new reading"
        return {CONFORMITY: "undecided", REASON: why}
    return {CONFORMITY: found.verdict, REASON: found.in_words(settings.data.target_unit)}


def _curve(result: Result, low: float, high: float) -> Curve:
    function, about = numeric(result.run.settings.model.chosen), result.run.input.fitted
    params = np.array(list(result.trained.values()))
    return Curve(function, params, about.shift, about.scale, is_polynomial(function, len(params)), low, high)
