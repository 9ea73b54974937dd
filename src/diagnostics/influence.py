"""What each observation does to the fit: columns of a report, no warnings.

Customary cut-offs are not among them: a Cook's distance above 4/N is found in most sound calibrations.
"""

from __future__ import annotations

import numpy as np

from .fitted import Fitted, Floats

ALONE = 1e-10  # of a leverage, what is left below 1: the observation is met whatever it is

Column = list[float | None]


def columns(fit: Fitted) -> dict[str, Column]:
    """By name, N numbers each; None where there is none: a leverage of 1, too few observations, an exact fit.

    `leverage` h; `loo_residuals` r/(1-h), how far each is from the fit to the others, in the target's unit
    (along the tangents, where the model is not linear in its parameters); `studentized_internal`,
    r over its own standard deviation, by the scale (absolute sigma: 1); `studentized_external`, by the scale
    of the others; `cook`, internal**2 h / (K (1-h)). Source: Cook and Weisberg, Residuals and Influence in
    Regression (1982), 2.2 and 3.1.
    """
    h, r = fit.leverages, fit.residuals
    free = np.where(1 - h > ALONE, 1 - h, np.nan)
    with np.errstate(all="ignore"):  # what there is not
        scale = np.sqrt(fit.squares / fit.free) if fit.free > 0 and not fit.is_exact else np.nan
        estimated = r / (scale * np.sqrt(free))
        others = np.sqrt((fit.free - 1) / (fit.free - estimated**2)) if fit.free > 1 else np.nan
        internal = r / np.sqrt(free) if fit.is_absolute and fit.free > 0 else estimated
        found = {
            "leverage": h,
            "loo_residuals": r / fit.weights / free,
            "studentized_internal": internal,
            "studentized_external": estimated * others,
            "cook": internal**2 * h / (fit.k * free),
        }
    return {name: _given(values) for name, values in found.items()}


def _given(values: Floats) -> Column:
    return [float(value) if np.isfinite(value) else None for value in values]
