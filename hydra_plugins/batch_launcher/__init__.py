"""Hydra launcher that hands the configs of a whole sweep to one function; see README.md."""

from ._deferred import plain_data
from ._failures import Failure, JobsFailedError
from ._numbers import many_numbers
from ._progress import above_bar, bar, meanwhile, step

__all__ = [
    "Failure",
    "JobsFailedError",
    "above_bar",
    "bar",
    "many_numbers",
    "meanwhile",
    "plain_data",
    "step",
]
