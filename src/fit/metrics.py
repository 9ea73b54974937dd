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
    found |= {name: metric(result) for name, metric in METRICS.items()}
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}
