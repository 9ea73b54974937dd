"""Figures of a comparison, one to a file; every module here without a leading underscore draws one.

    def draw(comparison: Comparison) -> Figure | None: ...

They read well with one run, with twelve and with ten thousand: few runs are drawn one by one and named;
of many, the best, the median and the worst, over bands that hold the rest.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...data import Pairs
    from ..calibration import Calibration
    from ..comparison import Comparison

OF_A_RUN = ("fits", "graph", "loss_curves", "loss_surface")  # what a single run's page shows


def names() -> list[str]:
    """Which figures there are."""
    return [module.name for module in iter_modules(__path__) if not module.name.startswith("_")]


def bands(calibration: Calibration, pairs: Pairs | None, tolerance: float | None) -> str:
    """The SVG of one calibration, for its report."""
    from ._bands import draw

    return draw(calibration, pairs, tolerance)


def draw(name: str, comparison: Comparison) -> Figure | None:
    """One of them; None where the comparison does not have it."""
    figure: Figure | None = import_module(f".{name}", __name__).draw(comparison)
    return figure
