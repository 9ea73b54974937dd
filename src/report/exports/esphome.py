"""A filter of ESPHome's, by data points: `calibrate_linear`, or `calibrate_polynomial` for a polynomial.

Sources: esphome.io, Sensor Filters; for what it computes in float, `components/sensor/filter.cpp` and
`__init__.py` of its package.
"""

from __future__ import annotations

import numpy as np

from ...config import ConfigError
from ...functions import Floats
from ..calibration import Calibration
from ._in_float import POINTS, ROOM, check, matters

MOST_POINTS = 65
CLOSE = 0.1  # of what matters: how near straight pieces between points, and polynomials in float, are to be
EACH = 4  # points for each parameter of a polynomial

BLOCK = """\
# {formula}
# For {input} from {low:.12g} to {high:.12g}. {how}
# From {source}.
filters:
  - {filter}:
{option}
      datapoints:
{points}
"""


def write(calibration: Calibration) -> str:
    """Raises ConfigError for a model that straight pieces between a few points, or float, do not follow."""
    if calibration.curve.polynomial and len(calibration.names) > 2:
        return _polynomial(calibration)
    return _linear(calibration)


def _linear(calibration: Calibration) -> str:
    """Straight between data points: two for a line, for other models as many as follow the curve."""
    curve, number = calibration.curve, 2
    checked, wanted = calibration.readings(POINTS), CLOSE * matters(calibration)
    expected = curve.values(checked)
    while number <= MOST_POINTS:
        x = calibration.readings(number)
        pieces = np.interp(checked, x, curve.values(x))
        off = float(np.abs(pieces - expected).max())
        if off <= wanted or curve.polynomial:
            error = off + ROOM * float(np.abs(_pieces_in_float(x, curve.values(x), checked) - pieces).max())
            check(calibration, error)
            how = f"Straight between {number} points, in float within {error:.1e} of the calibration."
            return _block(calibration, "calibrate_linear", "      method: exact", x, how)
        number = 2 * number - 1
    raise ConfigError(
        f"{MOST_POINTS} points do not follow the calibration of {calibration.target} to {wanted:.2g}: "
        "give --format c or json"
    )


def _pieces_in_float(x: Floats, y: Floats, readings: Floats) -> Floats:
    """Straight between points (P,) at readings (N,), by the slope and the intercept of each piece."""
    slopes = np.diff(y) / np.diff(x)
    intercepts = y[:-1] - slopes * x[:-1]
    seen = readings.astype(np.float32)
    piece = np.searchsorted(x[1:-1].astype(np.float32), seen, "right")
    return np.asarray(seen * slopes.astype(np.float32)[piece] + intercepts.astype(np.float32)[piece])


def _polynomial(calibration: Calibration) -> str:
    """ESPHome finds the coefficients in raw units, and computes with them in float."""
    curve, degree = calibration.curve, len(calibration.names) - 1
    x = calibration.readings(EACH * (degree + 1))
    text_x, text_y = _numbers(x), _numbers(curve.values(x))
    powers = np.vander([float(each) for each in text_x], degree + 1)
    found = np.linalg.lstsq(powers, np.array([float(each) for each in text_y]), rcond=None)[0]
    checked = calibration.readings(POINTS)
    with np.errstate(all="ignore"):
        seen = np.polyval(found.astype(np.float32), checked.astype(np.float32))
        error = ROOM * float(np.abs(seen - curve.values(checked)).max())
    if not error <= CLOSE * matters(calibration):
        raise ConfigError(
            f"in float a polynomial in raw {calibration.input} loses its digits, up to {error:.1g}: "
            "give --format c, which computes about the middle of the range"
        )
    how = f"In float, within {error:.1e} of the calibration."
    return _block(calibration, "calibrate_polynomial", f"      degree: {degree}", x, how)


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
