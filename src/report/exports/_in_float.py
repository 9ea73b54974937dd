"""What a calibration loses where it is computed in float, and where that is too much."""

from __future__ import annotations

import math

import numpy as np

from ...config import ConfigError
from ..calibration import Calibration

POINTS = 4097  # of the range, at which the loss is looked for
ROOM = 2.0  # times the largest found there: between them, and by another compiler, it may be more

UNKNOWN = 1e-2  # of the span of true values: what matters where there is no scatter on record,
LEAST = 1e-4  # and where there is hardly any: float alone may lose as much, and the error is stated


def matters(calibration: Calibration) -> float:
    """How far off a value may be, in the target's unit: as far as one reading scatters."""
    known = calibration.config["uncertainty"] or {}
    span = float(np.ptp(calibration.curve.values(calibration.readings(POINTS))))
    return max(float(known["scatter"]), LEAST * span) if known.get("scatter") else UNKNOWN * span


def check(calibration: Calibration, error: float) -> None:
    """Raises ConfigError where float is off by more than matters, or has no number at all."""
    if not math.isfinite(error):
        raise ConfigError(
            f"the calibration of {calibration.target} leaves the range of float: give --format json"
        )
    if error > (most := matters(calibration)):
        raise ConfigError(
            f"in float {calibration.target} would be off by up to {error:.2g}, where {most:.2g} is too much: "
            f"subtract a constant from {calibration.input} or {calibration.target} in the data, whichever is "
            "far from 0 beside its span, or give --format json"
        )
