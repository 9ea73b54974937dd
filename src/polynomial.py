"""All that rests on models being polynomials with the highest power first.

Raw-unit parameters are exact for them: a polynomial of a normalized input is one of the raw input.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from .functions import Floats, Function
from .normalization import Affine

POINTS = np.array([-3.0, -0.5, 0.5, 2.0, 7.0])  # with small integers as coefficients all powers are exact


@cache
def is_polynomial(model: Function, n_params: int) -> bool:
    """Whether a model of K parameters is `params[0] * t_u**(K-1) + ... + params[K-1]`."""
    trials = [*np.eye(n_params), np.arange(2.0, n_params + 2)]
    try:
        with np.errstate(all="ignore"):  # of a function that is not defined everywhere
            return all(np.array_equal(model(POINTS, *trial), np.polyval(trial, POINTS)) for trial in trials)
    except Exception:  # a function of tensors alone
        return False


def fold_matrix(affine: Affine, n_params: int) -> Floats:
    """The (K, K) matrix that takes parameters on normalized input to raw ones: `raw = matrix @ trained`.

    Column k holds the raw coefficients of `t_un**(K-1-k)`, the power of one binomial,
    `scale * t_u - scale * shift`.
    """
    with np.errstate(all="ignore"):  # what is beyond arithmetic is refused by who asks
        return _powers(affine, n_params)


def _powers(affine: Affine, n_params: int) -> Floats:
    matrix = np.zeros((n_params, n_params))
    power = np.ones(1)  # coefficients of t_un**0, highest power first
    for column in reversed(range(n_params)):
        matrix[n_params - len(power) :, column] = power
        raised = np.zeros(len(power) + 1)
        raised[:-1] += affine.scale * power
        raised[1:] -= affine.scale * affine.shift * power
        power = raised
    return matrix


def formula(coefficients: Sequence[str], t_u: str) -> str:
    """A polynomial in terms of its input's name; coefficients as text, with the highest power first.

    >>> formula(["0.25", "1", "-17.3048"], "volt"), formula(["-17.3"], "volt")
    ('0.25 * volt**2 + 1 * volt - 17.3048', '- 17.3')
    """
    k = len(coefficients)
    powers = ["", f" * {t_u}", *(f" * {t_u}**{power}" for power in range(2, k))][:k]
    terms = [f"- {each[1:]}" if each.startswith("-") else f"+ {each}" for each in coefficients]
    joined = " ".join(term + power for term, power in zip(terms, reversed(powers), strict=True))
    return joined.removeprefix("+ ")
