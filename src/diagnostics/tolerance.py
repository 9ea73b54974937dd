"""Does a calibration keep a tolerance? A decision by guard bands as wide as U, on arrays alone.

    within      |e| + U <= tolerance
    outside     |e| - U > tolerance
    undecided   neither: the band of e with its U crosses the tolerance

e is the error that a corrected value has left: that of the reading itself is corrected. At an observation it
is the corrected value less the reference value; elsewhere in the calibrated range 0, for all that the fit
knows is corrected. U is the expanded uncertainty (95 %) of a new reading's corrected value: it holds the
scatter of one reading, so that an observation's own, which e has already, counts twice, on the safe side.
Source: JCGM 106:2012, 8.3 (guarded acceptance and rejection); ILAC-G8:09/2019, 4.2.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .fitted import Floats

RULE = (
    "within: |e| + U <= tolerance, outside: |e| - U > tolerance; "
    "e: corrected less reference value, U: 95 % of a new reading"
)

Verdict = Literal["within", "outside", "undecided"]


@dataclass(frozen=True, eq=False)
class Conformity:
    """A `tolerance` beside U over the calibrated range (P,), and the observations' e and U, (N,) each."""

    tolerance: float
    over_range: Floats
    errors: Floats
    expanded: Floats

    @property
    def verdicts(self) -> list[Verdict]:
        """On each observation (N,)."""
        return _verdicts(self.errors, self.expanded, self.tolerance)

    @property
    def verdict(self) -> Verdict:
        """On the calibration: `outside` where any observation is, `within` where all is, the range too."""
        everywhere = [
            *_verdicts(np.zeros(1), self.over_range.max(keepdims=True), self.tolerance),
            *self.verdicts,
        ]
        if "outside" in everywhere:
            return "outside"
        return "undecided" if "undecided" in everywhere else "within"

    def in_words(self, unit: str) -> str:
        """The tolerance, the verdict, what it rests on, and the rule."""
        verdicts, tolerance = self.verdicts, f"{self.tolerance:g}"
        counts = {each: verdicts.count(each) for each in ("within", "undecided", "outside")}
        told = ", ".join(f"{count:,} {each}" for each, count in counts.items() if count)
        largest = f"{self.over_range.max():.3g} {unit}".strip()
        return (
            f"±{f'{tolerance} {unit}'.strip()}: {self.verdict}; U is at most {largest} over the calibrated "
            f"range, and of {len(verdicts):,} readings {told} ({RULE})"
        )


def _verdicts(errors: Floats, expanded: Floats, tolerance: float) -> list[Verdict]:
    size = np.abs(errors)
    found = np.select(
        [size + expanded <= tolerance, size - expanded > tolerance], ["within", "outside"], "undecided"
    )
    verdicts: list[Verdict] = found.tolist()
    return verdicts
