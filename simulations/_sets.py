"""Simulated calibrations: readings, a true curve, normal scatter, and the best fit by QR."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from src.diagnostics.fitted import Fitted, Floats

Readings = Callable[[int], Floats]

DEGREES = {"linear": 1, "quadratic": 2}


SPACINGS: dict[str, Readings] = {
    "even": lambda n: np.linspace(1, 10, n),  # from 1 on: the logarithm is asked of, too
    "by factors": lambda n: np.geomspace(1, 1000, n),
    "replicates": lambda n: np.repeat(np.linspace(1, 10, n // 2), 2),  # each reading twice, at the ends too
    "thrice": lambda n: np.repeat(np.linspace(1, 10, n // 3), 3),
}


def fitted(model: str, t_u: Floats, t_c: Floats) -> Fitted:
    """The least squares' line or parabola of readings and reference values (N,), lines counted from 2."""
    k = DEGREES[model] + 1
    centre = t_u.mean()
    columns = np.vander(t_u - centre, k)
    params = np.linalg.lstsq(columns, t_c, rcond=None)[0]
    return Fitted(
        t_u,
        t_c,
        columns @ params,
        columns,
        lines=np.arange(2, len(t_u) + 2),
        model=model,
        is_polynomial=True,
        input="t_u",
        target="t_c",
        predict=lambda readings: np.vander(readings - centre, k) @ params,
    )
