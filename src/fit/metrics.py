"""The metrics on record for a run besides its parameters: every public function here, under its name.

From a result to a number; None, or what is not finite, where there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..functions import public

if TYPE_CHECKING:
    from .result import Result


def lr_over_limit(result: Result) -> float:
    """The learning rate over the largest stable one: beyond 1 a run diverges."""
    return result.run.lr_over_limit


def loss_gap(result: Result) -> float | None:
    """The loss minus the exact optimum's, measured where the curve's last loss was."""
    return result.loss_gap


def diverged_at(result: Result) -> float | None:
    """The first recorded epoch at which the run was not finite."""
    return result.diverged_at


def best_loss(result: Result) -> float | None:
    """The exact optimum's loss, for a run that has a loss to compare."""
    return result.run.problem.optimum.loss if result.raw else None


METRICS = public(__name__)
