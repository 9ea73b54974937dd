"""A header of C99 with the calibration as a function of float, for a microcontroller."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ...config import ConfigError
from ...functions import Floats
from ...normalization import Affine
from ...tracking import predictor
from ..calibration import Calibration
from ._expression import Expression, literal
from ._in_float import POINTS, ROOM, check

Floats32 = npt.NDArray[np.float32]

HEADER = """\
/* {formula}
 *
 * For {input} from {low} to {high}; beyond that it is extrapolated.
 * Computed in float, within {error} of the calibration over that range.
 * From {source}.
 */
#ifndef {guard}_H
#define {guard}_H

#include <math.h>

#define {guard}_LOW {low_literal}
#define {guard}_HIGH {high_literal}

static inline float {name}(float reading)
{{
    const float x = {x};
    return {body};
}}

#endif
"""


def write(calibration: Calibration) -> str:
    """Raises ConfigError for a model that float does not hold, or of more than elementary functions."""
    curve = calibration.curve
    about, text, compute = _polynomial(calibration) if curve.polynomial else _other(calibration)
    scaled = "reading" if not about.shift else f"(reading - {literal(about.shift)})"
    readings = calibration.readings(POINTS)
    with np.errstate(all="ignore"):
        x = (readings.astype(np.float32) - np.float32(about.shift)) * np.float32(about.scale)
        error = ROOM * float(np.abs(compute(x) - curve.values(readings)).max())
    check(calibration, error)
    name = f"{_identifier(calibration.target)}_of_{_identifier(calibration.input)}"
    return HEADER.format(
        formula=_comment(calibration.formula),
        source=_comment(calibration.source),
        input=_comment(calibration.input),
        low=f"{curve.low:.12g}",
        high=f"{curve.high:.12g}",
        error=f"{error:.1e}",
        guard=name.upper(),
        low_literal=literal(curve.low),
        high_literal=literal(curve.high),
        name=name,
        x=scaled if about.scale == 1 else f"{scaled} * {literal(about.scale)}",
        body=text,
    )


def _polynomial(calibration: Calibration) -> tuple[Affine, str, Callable[[Floats32], Floats]]:
    """By Horner's rule, of the input on [-1, 1], where a float loses the least."""
    curve = calibration.curve
    about = Affine((curve.low + curve.high) / 2, 2 / curve.span)
    coefficients = calibration.coefficients(about).astype(np.float32)

    def horner(x: Floats32) -> Floats:
        found = np.full_like(x, coefficients[0])
        for each in coefficients[1:]:
            found = found * x + each
        return found.astype(float)

    text = literal(coefficients[0])
    for each in coefficients[1:]:
        text = f"({text} * x + {literal(each)})"
    return about, text if len(coefficients) > 1 else f"{text} + 0 * x", horner


def _other(calibration: Calibration) -> tuple[Affine, str, Callable[[Floats32], Floats]]:
    """As the function itself is written."""
    curve = calibration.curve
    function, params = predictor.function_of(calibration.run), curve.params.astype(np.float32)
    try:
        written = function(Expression("x"), *map(Expression, map(literal, params)))
    except Exception as error:
        written = error
    if not isinstance(written, Expression):
        raise ConfigError(
            f"model={calibration.run.params['model']} cannot be written in C: it is more than operators and "
            "exp, log and sqrt of src.elementary; give --format json or esphome"
        )

    def compute(x: Floats32) -> Floats:
        return np.asarray(function(x, *params), dtype=float)

    return Affine(curve.shift, curve.scale), written.text, compute


def _identifier(name: str) -> str:
    """What C takes for a name.

    >>> _identifier("volt [mV]"), _identifier("2 °C")
    ('volt_mV', '_2_C')
    """
    text = re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_")
    return f"_{text}" if text[:1].isdigit() or not text else text


def _comment(text: str) -> str:
    return " ".join(text.replace("*/", "* /").split())
