"""Models as plain functions, as in the chapter: every public function here can be chosen by its name.

A model takes the input and then its parameters by name; its signature is the list of its parameters.
The same function serves one run (`t_u` (N,), scalars) and R runs at once (`t_u` (R, N), each
parameter (R, 1)): broadcasting does the rest, and autograd finds every derivative. Where a model starts
stands beside its description in conf/model/.

Polynomials so far, the highest power first: what rests on that is in `polynomial.py`, which refuses others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .functions import public

if TYPE_CHECKING:  # torch takes two seconds to import; a mistake on the command line must not wait
    from torch import Tensor

Model = Callable[..., "Tensor"]


def linear(t_u: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """The chapter's model, `w * t_u + b`."""
    return w * t_u + b


def quadratic(t_u: Tensor, w2: Tensor, w1: Tensor, b: Tensor) -> Tensor:
    """The chapter's exercise, `w2 * t_u**2 + w1 * t_u + b`: for an instrument that is not straight."""
    return w2 * t_u**2 + w1 * t_u + b


MODELS: dict[str, Model] = public(__name__)
