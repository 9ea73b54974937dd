"""The metrics on record for a run besides its parameters: every public function here, under its name.

From a result to a number; None, or what is not finite, where there is none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..functions import public

if TYPE_CHECKING:  # torch takes two seconds to import
    from .result import Result


def lr_over_limit(result: Result) -> float:
    """The learning rate over the largest stable one near the best fit: beyond 1 a run diverges."""
    return result.run.lr_over_limit


def condition_number(result: Result) -> float:
    """The largest curvature of the loss at the best fit over the least, as descent sees it."""
    return result.run.input.yardstick.condition_number


def final_loss(result: Result) -> float | None:
    """The loss of the parameters on record, one step after the curve's last."""
    return result.final_loss


def loss_gap(result: Result) -> float | None:
    """The final loss minus the best fit's."""
    return result.loss_gap


def training_error(result: Result) -> float | None:
    """The largest distance from the best fit within the range, in the curve's standard uncertainties."""
    return result.training_error


def residual_sd(result: Result) -> float | None:
    """The standard deviation of the best fit's residuals, in the target's unit."""
    return result.uncertainty.residual_sd if result.uncertainty else None


def max_residual(result: Result) -> float | None:
    """The best fit's largest residual, without its sign."""
    return result.uncertainty.max_residual if result.uncertainty else None


def r2(result: Result) -> float | None:
    """The part of the targets' squares about their mean that the best fit explains."""
    return result.uncertainty.r2 if result.uncertainty else None


def aicc(result: Result) -> float | None:
    """What models on the same data compare by, the smaller the better: Akaike's, for small samples."""
    return result.uncertainty.aicc if result.uncertainty else None


def loo_rmse(result: Result) -> float | None:
    """The root mean square error of each observation's prediction by a fit to all others."""
    return result.uncertainty.loo_rmse if result.uncertainty else None


def loo_loss(result: Result) -> float | None:
    """The same as a mean loss, for other losses than squares."""
    return result.uncertainty.loo_loss if result.uncertainty else None


def chi_squared(result: Result) -> float | None:
    """The residuals' squares in units of the known uncertainties of the reference values."""
    return result.uncertainty.chi_squared if result.uncertainty else None


def chi_squared_p(result: Result) -> float | None:
    """The probability of one as large, if the model and the uncertainties are right."""
    return result.uncertainty.chi_squared_p if result.uncertainty else None


def final_validation_loss(result: Result) -> float | None:
    """The loss of the parameters on record, on the observations that were held out."""
    return result.final_validation


def diverged_at(result: Result) -> float | None:
    """The first epoch that was not finite."""
    return result.diverged_at


def best_loss(result: Result) -> float | None:
    """The best fit's loss."""
    return result.run.input.yardstick.fit.loss if result.run.input.yardstick.fit.settled else None


METRICS = public(__name__)


def of(result: Result) -> dict[str, float]:
    """All that is on record of a result beside its curve, by name: finite numbers."""
    found: dict[str, float | None] = dict(result.raw)
    found |= {f"trained_{name}": value for name, value in result.trained.items()}
    yardstick = result.run.input.yardstick
    in_raw_units = bool(result.raw) if result.trained else yardstick.is_raw
    found |= yardstick.named(in_raw_units) if yardstick.fit.settled else {}
    if fit := result.uncertainty:
        errors = fit.raw_errors if in_raw_units else fit.trained_errors
        known = [] if errors is None else zip(result.trained, errors.tolist(), strict=True)
        found |= {f"se_{name}": error for name, error in known}
    found |= {name: metric(result) for name, metric in METRICS.items()}
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}
