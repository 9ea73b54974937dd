"""What has changed since the version that a model's name has already, in words."""

from __future__ import annotations

import numpy as np

from ..config import ConfigError
from ..diagnostics.change import Change, change
from ..functions import Floats
from ..tracking import reader, registry
from ..tracking.band import Wanted, band
from ..tracking.record import TrackedRun
from ..tracking.store import Store
from .calibration import Calibration

POINTS = 257  # of the common range


def since(store: Store, run: TrackedRun, name: str) -> str:
    """A run beside the newest earlier version under a name; empty where there is none."""
    earlier = registry.earlier(store, run, name)
    if earlier is None:
        return ""
    uri, run_id = earlier
    try:
        now, then = Calibration.of(store, run), Calibration.of(store, reader.get(store, run_id))
    except ConfigError as error:
        return f"not compared with {uri}: {error}"
    return compared(now, then, uri)


def compared(now: Calibration, then: Calibration, uri: str) -> str:
    """Two calibrations, the earlier one called `uri`; or why they cannot be compared."""
    if _columns(now) != _columns(then):
        return f"not compared with {uri}: that is of {_columns(then)}, this of {_columns(now)}"
    if now.run.data_digest and now.run.data_digest == then.run.data_digest:
        return f"not compared with {uri}: both are of the same observations"
    low, high = max(now.curve.low, then.curve.low), min(now.curve.high, then.curve.high)
    if not low < high:
        between = f"from {then.curve.low:.6g} to {then.curve.high:.6g}"
        return f"not compared with {uri}: there is no common range, for that is calibrated {between}"
    readings = np.linspace(low, high, POINTS)
    differences = now.curve.values(readings) - then.curve.values(readings)
    u = _uncertainty(now, then, readings)
    unit = now.units[1]
    if u is None:
        at = int(np.argmax(np.abs(differences)))
        largest = f"{_amount(differences[at], unit)} at {readings[at]:.4g}"
        return (
            f"since {uri}: by up to {largest}; whether that is much is unknown, without uncertainties of both"
        )
    return _in_words(change(readings, differences, u, _dimension(now, then), _df(now, then)), now, then, uri)


def _columns(calibration: Calibration) -> str:
    return " to ".join(
        f"{name} [{unit}]" if unit else name
        for name, unit in zip((calibration.input, calibration.target), calibration.units, strict=True)
    )


def _uncertainty(now: Calibration, then: Calibration, readings: Floats) -> Floats | None:
    """Of the difference (P,), for two independent calibrations; None where one has none on record."""
    of_both = []
    for each in (now, then):
        if (known := each.config["uncertainty"]) is None:
            return None
        of_both.append(band(each.curve, known, Wanted(curve=True)).uncertainties(readings))
    return np.hypot(*of_both)


def _dimension(now: Calibration, then: Calibration) -> int:
    """Of the space that the difference is in, to first order; a shared error is a constant in it."""
    sizes = [len(each.names) for each in (now, then)]
    if now.config["polynomial"] and then.config["polynomial"]:
        return max(sizes)
    is_shared = any(each.config["uncertainty"]["common"] for each in (now, then))
    is_one_model = now.run.params["model"] == then.run.params["model"]
    return (max(sizes) if is_one_model else sum(sizes)) + is_shared


def _df(now: Calibration, then: Calibration) -> float | None:
    found = [each.config["uncertainty"]["df"] for each in (now, then)]
    return min((df for df in found if df is not None), default=None)


def _in_words(found: Change, now: Calibration, then: Calibration, uri: str) -> str:
    unit, df = now.units[1], _df(now, then)
    largest, clearest = found.largest, found.clearest
    told = [_place(largest, unit)]
    if found.is_significant and abs(largest.ratio) <= found.bound:
        told.append(f"clearest {_place(clearest, unit)}")
    verdict = "changed" if found.is_significant else "unchanged within its uncertainty"
    with_df = "with known scatter" if df is None else f"with {df} degrees of freedom"
    return (
        f"since {uri}: {verdict}; the largest difference is {', '.join(told)} "
        f"(u: of the difference; of the unchanged 95 % stay within {found.bound:.2g} u, by Scheffé {with_df})"
    )


def _place(place: tuple[float, float, float], unit: str) -> str:
    reading, amount, ratio = place
    return f"{_amount(amount, unit)} at {reading:.4g}, {abs(ratio):.2g} u"


def _amount(amount: float, unit: str) -> str:
    return f"{amount:+.2g} {unit}".strip()
