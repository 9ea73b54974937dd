"""A straight line that takes its time, however fast the machine is."""

import time

from torch import Tensor


def line(t_u: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """Called some eighty times a run, for its captured steps are checked by eager ones now and then."""
    time.sleep(0.02)
    return w * t_u + b
