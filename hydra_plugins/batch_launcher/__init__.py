"""Hydra launcher that hands the configs of a whole sweep to one function; see README.md."""

from ._deferred import plain_data
from ._failures import Failure, JobsFailedError
from ._numbers import many_numbers
from ._progress import above_bar, bar, meanwhile, step
from ._signals import SIGNALS, Stop, handling, heeding, is_asked_to_stop

__all__ = [
    "SIGNALS",
    "Failure",
    "JobsFailedError",
    "Stop",
    "above_bar",
    "bar",
    "handling",
    "heeding",
    "is_asked_to_stop",
    "many_numbers",
    "meanwhile",
    "plain_data",
    "step",
]
