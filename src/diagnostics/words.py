"""What speaks against a fit, in plain words: the numbers, and the setting to try."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .fitted import Fitted, Floats
from .lack_of_fit import LackOfFit, Runs
from .outliers import Outlier
from .shape import Saturation

SHAPES = {2: "a parabola", 3: "a cubic", 4: "a quartic"}  # by the highest power
MOST_NAMED = 10  # lines


def saturated(fit: Fitted, found: Saturation) -> str:
    """An extreme reading under several reference values."""
    readings, values = fit.t_u[found.places], fit.t_c[found.places]
    reading = _with(readings.max(), fit.input_unit, 10)
    if np.ptp(readings):
        reading = f"{readings.min():.10g} to {reading}"
    between = f"{values.min():.10g} to {_with(values.max(), fit.target_unit, 10)}"
    return (
        f"{fit.input} is {reading} for {len(values)} reference values from {between} "
        f"({_lines(fit.lines[found.places].tolist())}; {_p(found.p)}), the end of the instrument's range: "
        "leave these lines out"
    )


def off(fit: Fitted, found: Outlier, lines: Sequence[int]) -> str:
    """One line of the file, or two, by how much they are off, and what is left without them."""
    left = f"{_scales(fit, found.scale(fit))} without {'it' if len(lines) == 1 else 'them'}"
    where = f"{_lines(lines)} of the file"
    if found.swapped:
        return f"{where} seem to be swapped: each fits where the other is ({_p(found.p)}; {left})"
    if len(lines) > 1:
        return f"{where} are off, and hide each other ({_p(found.p)}; {left}): look at them"
    return f"{where} is {_times(found.statistic)} standard deviations off ({_p(found.p)}; {left}): look at it"


def curve(fit: Fitted, found: LackOfFit) -> str:
    """What another shape would leave of the residuals, and the model that has it."""
    if found.powers:
        terms = " and ".join(f"{fit.input}**{power}" for power in found.powers)
        shape = SHAPES.get(found.powers[-1], terms) if fit.is_polynomial else f"adding {terms}"
    else:
        shape = f"a logarithm of {fit.input}"
    return f"{shape} would leave {_left(fit, found)}: {_advice(fit, found)}"


def replicates(fit: Fitted, found: LackOfFit) -> str:
    """That the curve misses the means of repeated readings by more than their scatter."""
    scatter = _scales(fit, found.ratio * fit.scale)
    return (
        f"repeated readings scatter by less than the curve misses their means ({scatter}, {_p(found.p)}): "
        f"{_not_the_shape(fit)}"
    )


def runs(fit: Fitted, found: Runs) -> str:
    """That residuals of one sign follow each other."""
    usual = 1 + 2 * found.positive * found.negative / (found.positive + found.negative)
    return (
        f"the residuals keep their sign along {fit.input}: {found.runs} runs, where {usual:.0f} are usual "
        f"({_p(found.p)}): {_not_the_shape(fit)}"
    )


def turning(fit: Fitted, found: Floats) -> str:
    """That a reference value has several readings."""
    where = " and ".join(_with(each, fit.input_unit) for each in found)
    return (
        f"the calibration is not monotonic: it turns at {fit.input} = {where}, so that one value of "
        f"{fit.target} may belong to several of {fit.input}"
    )


def _advice(fit: Fitted, found: LackOfFit) -> str:
    if fit.is_polynomial and not found.powers:
        return "try model=power or model=steinhart_hart"
    if fit.is_polynomial and fit.k == 2:
        return "try model=quadratic"
    return "try model=linear" if fit.model == "proportional" else _not_the_shape(fit)


def _not_the_shape(fit: Fitted) -> str:
    return f"{fit.model} is not the shape of these data"


def _left(fit: Fitted, found: LackOfFit) -> str:
    """With an absolute sigma in terms of chi2, which says how much is to be explained."""
    if fit.is_absolute:
        return f"a chi² of {fit.squares - found.statistic:.3g} instead of {fit.squares:.3g} ({_p(found.p)})"
    return (
        f"{_percent(found.ratio)} of the residuals ({_scales(fit, found.ratio * fit.scale)}, {_p(found.p)})"
    )


def _percent(part: float) -> str:
    """
    >>> _percent(0.0921), _percent(0.999), _percent(1e-14)
    ('9.2 %', '100 %', 'less than 0.1 %')
    """
    if part < 0.001:
        return "less than 0.1 %"
    return f"{100 * part:.2g} %" if part < 0.995 else f"{part:.0%}".replace("%", " %")


def _scales(fit: Fitted, other: float) -> str:
    if fit.root is not None:
        return f"Birge's ratio {other:.3g} instead of {fit.scale:.3g}"
    return f"standard deviation {other:.3g} instead of {_with(fit.scale, fit.target_unit)}"


def _with(value: float, unit: str, digits: int = 3) -> str:
    return f"{value:.{digits}g} {unit}".strip()


def _lines(lines: Sequence[int]) -> str:
    """
    >>> _lines([7]), _lines([4, 9]), _lines([4, 9, 11])
    ('line 7', 'lines 4 and 9', 'lines 4, 9 and 11')
    """
    named = [str(line) for line in lines[:MOST_NAMED]]
    if len(lines) > MOST_NAMED:
        named.append(f"{len(lines) - MOST_NAMED:,} more")
    *first, last = named
    return f"lines {', '.join(first)} and {last}" if first else f"line {last}"


def _times(size: float) -> str:
    """
    >>> _times(-14.23), _times(3593.3)
    ('14', '3,593')
    """
    return f"{abs(size):,.0f}" if abs(size) >= 10 else f"{abs(size):.2g}"


def _p(p: float) -> str:
    return f"p = {p:.2g}" if p >= 1e-300 else "p < 1e-300"
