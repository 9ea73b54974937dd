"""A filter of ESPHome's, by data points: `calibrate_linear`, or `calibrate_polynomial` for a polynomial.

Source: esphome.io, Sensor Filters.
"""

from __future__ import annotations

import numpy as np

from ...config import ConfigError
from ..calibration import Calibration, Floats

MOST_POINTS = 65
CLOSE = 0.1  # of the scatter of one reading: how near straight pieces between points are to be
NEAR = 1e-3  # of the span of true values, where there is no scatter on record
ROUNDINGS = 4  # of a float, in a slope, a product and a sum
CHECKED = 4097  # readings of the range
EACH = 4  # points for each parameter of a polynomial

BLOCK = """\
# {formula}
# For {input} from {low:g} to {high:g}. {how}
# From {source}.
filters:
  - {filter}:
{option}
      datapoints:
{points}
"""


def write(calibration: Calibration) -> str:
    """Raises ConfigError for a model that straight pieces between a few points do not follow."""
    if calibration.curve.polynomial and len(calibration.names) > 2:
        return _polynomial(calibration)
    return _linear(calibration)


def _linear(calibration: Calibration) -> str:
    """Straight between data points: two for a line, for other models as many as follow the curve."""
    curve, number = calibration.curve, 2
    checked, wanted = calibration.readings(CHECKED), _wanted(calibration)
    expected = curve.values(checked)
    rounding = ROUNDINGS * float(np.spacing(np.abs(expected).max().astype(np.float32)))
    while number <= MOST_POINTS:
        x = calibration.readings(number)
        error = float(np.abs(np.interp(checked, x, curve.values(x)) - expected).max())
        if error <= wanted or curve.polynomial:
            how = f"Straight between {number} points, within {error + rounding:.1e} of the calibration."
            return _block(calibration, "calibrate_linear", "      method: exact", x, how)
        number = 2 * number - 1
    raise ConfigError(
        f"{MOST_POINTS} points do not follow the calibration of {calibration.target} to {wanted:.2g}: "
        "give --format c or json"
    )


def _polynomial(calibration: Calibration) -> str:
    """ESPHome finds the coefficients in raw units, and computes with them in float."""
    curve, degree = calibration.curve, len(calibration.names) - 1
    x = calibration.readings(EACH * (degree + 1))
    text_x, text_y = _numbers(x), _numbers(curve.values(x))
    powers = np.vander([float(each) for each in text_x], degree + 1)
    found = np.linalg.lstsq(powers, np.array([float(each) for each in text_y]), rcond=None)[0]
    checked = calibration.readings(CHECKED)
    with np.errstate(all="ignore"):
        seen = np.polyval(found.astype(np.float32), checked.astype(np.float32))
        error = 2 * float(np.abs(seen - curve.values(checked)).max())
    if not error <= _wanted(calibration):
        raise ConfigError(
            f"in float a polynomial in raw {calibration.input} loses its digits, up to {error:.1g}: "
            "give --format c, which computes about the middle of the range"
        )
    how = f"In float, within {error:.1e} of the calibration."
    return _block(calibration, "calibrate_polynomial", f"      degree: {degree}", x, how)


def _wanted(calibration: Calibration) -> float:
    """How near the filter is to be, in the target's unit."""
    known = calibration.config["uncertainty"] or {}
    span = float(np.ptp(calibration.curve.values(calibration.readings(CHECKED))))
    return CLOSE * float(known["scatter"]) if known.get("scatter") else NEAR * span


def _block(calibration: Calibration, filter: str, option: str, x: Floats, how: str) -> str:
    pairs = zip(_numbers(x), _numbers(calibration.curve.values(x)), strict=True)
    return BLOCK.format(
        formula=" ".join(calibration.formula.split()),
        source=" ".join(calibration.source.split()),
        input=" ".join(calibration.input.split()),
        low=calibration.curve.low,
        high=calibration.curve.high,
        how=how,
        filter=filter,
        option=option,
        points="\n".join(f"        - {reading} -> {value}" for reading, value in pairs),
    )


def _numbers(values: Floats) -> list[str]:
    """Nine digits are a float's, and some to spare."""
    return [f"{value:.12g}" for value in values]
