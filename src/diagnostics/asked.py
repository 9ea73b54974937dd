"""Every test that can be asked of a fit, with its level and p: none is left out for being silent.

What is told of a fit, and in which order, `findings.py` says; here each is asked once, of all observations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .findings import LEVEL, PAIRED
from .fitted import Fitted
from .lack_of_fit import logarithm, powers, replicates, runs
from .outliers import outlier, pair
from .shape import SATURATED, repeated_ends


@dataclass(frozen=True)
class Asked:
    """A test: what it looks for, its level, its p; None where it cannot be asked, and what it needs."""

    looks_for: str
    level: float
    p: float | None
    needs: str

    @property
    def speaks(self) -> bool:
        """Whether it says that something is wrong."""
        return self.p is not None and self.p < self.level


def asked(fit: Fitted) -> list[Asked]:
    """All of them; none of a fit that is exact, or that has as many parameters as observations."""
    return [] if fit.free < 1 or fit.is_exact else list(_asked(fit))


def _asked(fit: Fitted) -> Iterator[Asked]:
    ends = [end.p for end in repeated_ends(fit)]
    yield Asked("end of its range reached", SATURATED, min(ends, default=None), "an end that repeats")
    one, two = outlier(fit), pair(fit)
    yield Asked("one reading off", LEVEL, one.p if one else None, f"{fit.k + 2} observations")
    yield Asked("two off, or swapped", PAIRED, two.p if two else None, f"{fit.k + 3} observations")
    for count, name in ((1, "next power"), (2, "next two powers")):
        found = powers(fit, count)
        yield Asked(
            name, LEVEL, found.p if found else None, f"{fit.k + count + 1} readings, {fit.k + count} apart"
        )
    bent = logarithm(fit)
    yield Asked("logarithm", LEVEL, bent.p if bent else None, "readings above 0, over a factor of 2")
    apart = replicates(fit)
    yield Asked(
        "scatter of replicates", LEVEL, apart.p if apart else None, f"{fit.k + 1} set points, 3 repeats"
    )
    yield Asked("runs of signs", LEVEL, runs(fit, beyond=fit.rounding).p, "")
