"""The numbers of a calibration report, each from what is on record."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...data import Pairs
from ...diagnostics.asked import Asked, asked
from ...diagnostics.tolerance import Conformity
from ...fit.caution import UNLIKELY
from ...functions import Floats
from ...spelling import SIGMA
from ...tracking import observed
from ...tracking.band import Band, Wanted, band
from ...tracking.conformity import POINTS, conformity
from ...tracking.record import TrackedRun, rebuild
from ...tracking.store import Store
from ..calibration import Calibration
from ..comparison import Comparison
from ..observations import fitted, is_tested

COVERAGE = Wanted().coverage


@dataclass(frozen=True)
class Component:
    """A line of the uncertainty budget: its standard uncertainty (P,) at P readings, None where unknown."""

    name: str
    how: str
    degrees_of_freedom: float | None
    values: Floats | None


@dataclass(frozen=True)
class Evaluation:
    """A calibration, and the observations that it is of; None where these are neither on record nor there."""

    calibration: Calibration
    pairs: Pairs | None

    @classmethod
    def of(cls, store: Store, run: TrackedRun) -> Evaluation:
        """Raises ConfigError for a run that has no calibration."""
        calibration = Calibration.of(store, run)
        settings = rebuild(run, calibration.dataset)
        pairs = observed.find(store, run, settings.data) or Comparison(store, "", [run]).pairs
        return cls(calibration, pairs)

    @property
    def run(self) -> TrackedRun:
        """Of which it is."""
        return self.calibration.run

    @property
    def unit(self) -> str:
        """The target's; empty where nobody knows it."""
        return self.calibration.units[1]

    @property
    def known(self) -> dict[str, Any] | None:
        """The uncertainty on record; None of a run that has none."""
        found: dict[str, Any] | None = self.calibration.config["uncertainty"]
        return found

    @cached_property
    def band(self) -> Band | None:
        """That of a new reading; where its scatter is not known, that of the curve; None where nothing is."""
        if self.known is None:
            return None
        return band(self.calibration.curve, self.known, Wanted(curve=not self.is_of_reading))

    @property
    def is_of_reading(self) -> bool:
        """Whether the scatter of a new reading is known."""
        return self.known is not None and self.known["scatter"] is not None

    @cached_property
    def places(self) -> Floats:
        """Two readings: the middle of the calibrated range, and where U is largest."""
        readings = self.calibration.readings(POINTS)
        assert self.band
        return np.array([readings[POINTS // 2], readings[np.argmax(self.band.uncertainties(readings))]])

    @cached_property
    def budget(self) -> list[Component]:
        """The contributions at `places`, and what they come to."""
        known, around = self.known, self.band
        assert known
        assert around
        df, ones = known["df"] or math.inf, np.ones(len(self.places))
        alone = band(self.calibration.curve, known | {"common": 0.0}, Wanted(curve=True))
        is_given = self.run.params.get(SIGMA) and df == math.inf
        scatter = ones * known["scatter"] if self.is_of_reading else None
        common = ones * known["common"] if "data_common" in self.run.params else None
        return [
            Component("the fit", "type A, its covariance", df, alone.uncertainties(self.places)),
            Component(
                "scatter of one reading",
                "type B, data.sigma as given" if is_given else "type A, the residuals",
                df,
                scatter,
            ),
            Component("shared by all reference values", "type B, data.common as given", math.inf, common),
            Component("combined", "root of the sum of squares", df, around.uncertainties(self.places)),
        ]

    @cached_property
    def tests(self) -> list[Asked]:
        """All that can be asked of the fit."""
        return list(self._tests())

    def _tests(self) -> Iterator[Asked]:
        if self.pairs is not None and is_tested(self.run):
            yield from asked(fitted(self.run, self.pairs))
        if (p := self.run.metrics.get("chi_squared_p")) is not None:
            yield Asked("chi²: data.sigma or the model is wrong", UNLIKELY, p, "")

    @cached_property
    def conformity(self) -> Conformity | None:
        """Whether it keeps the tolerance that it was given; None where that is not known."""
        tolerance = self.run.params.get("tolerance")
        if tolerance is None or self.known is None or self.pairs is None:
            return None
        return conformity(self.calibration.curve, self.known, self.pairs, float(tolerance))
