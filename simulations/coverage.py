"""How often intervals hold: a new calibration for each new reading, by the code that runs and models use.

    python -m simulations.coverage                 # 20,000 calibrations a row: standard error 0.15 points
    python -m simulations.coverage --sets 1000

Direct: a new reading's reference value within the 95 % interval of its prediction. Inverse: a true value's
reading within the interval of the reading found, of those that have one.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from src.fit.uncertainty import Uncertainty
from src.fit.weights import EQUAL, Weights
from src.fit.yardstick import yardstick
from src.losses import mse
from src.models import MODELS
from src.normalization import UNCHANGED
from src.tracking.band import Band, Wanted, band
from src.tracking.curve import Curve, Floats

SIZES = {"linear": 2, "quadratic": 3}


@dataclass(frozen=True)
class Case:
    """Calibrations of N even readings from 0 to 1 with normal scatter, of standard deviation `scatter`.

    `params`, the highest power first; `weighed`: the scatter grows threefold over the range, and is known.
    """

    kind: str
    params: tuple[float, ...]
    n: int
    scatter: float
    weighed: bool = False

    @property
    def model(self) -> str:
        """That is fitted."""
        return "linear" if len(self.params) == 2 else "quadratic"

    @property
    def name(self) -> str:
        """As the table has it."""
        return f"{self.model}{', weighed' * self.weighed}"


CASES = [
    *(Case("direct", (1.0, 0.0), n, 0.1) for n in (4, 5, 8, 10, 20, 50)),
    *(Case("direct", (0.5, 1.0, 0.0), n, 0.1) for n in (5, 8, 10, 20, 50)),
    Case("direct", (1.0, 0.0), 10, 0.1, weighed=True),
    Case("direct", (0.5, 1.0, 0.0), 10, 0.1, weighed=True),
    *(Case("inverse", (1.0, 0.0), n, 0.05) for n in (5, 10, 20)),
    *(Case("inverse", (0.5, 1.0, 0.0), n, 0.01) for n in (8, 20)),
]


@dataclass(frozen=True)
class Covered:
    """Of so many calibrations: intervals that there were, and those that held."""

    sets: int
    intervals: int
    holding: int

    @property
    def part(self) -> float:
        """Of the intervals, those that hold."""
        return self.holding / self.intervals


def covered(case: Case, sets: int) -> Covered:
    """Seeded by the case."""
    torch.set_num_threads(1)
    seed = [len(case.params), case.n, case.weighed, case.kind == "inverse"]
    rng = np.random.default_rng(seed)
    found = [_holds(case, rng) for _ in range(sets)]
    there = [each for each in found if each is not None]
    return Covered(sets, len(there), sum(there))


def _holds(case: Case, rng: np.random.Generator) -> bool | None:
    """Whether one interval holds; None where there is none."""
    t_u = np.linspace(0, 1, case.n)
    sigma = case.scatter * (1 + 2 * t_u if case.weighed else np.ones(case.n))
    t_c = np.polyval(case.params, t_u) + sigma * rng.standard_normal(case.n)
    reading = rng.uniform(0.1, 0.9)  # an inverse interval shall not reach beyond the range
    new_sigma = float(np.sqrt((sigma**2).mean()))
    value = np.polyval(case.params, reading) + new_sigma * rng.standard_normal()
    curve, around = _calibrated(case.model, t_u, t_c, sigma if case.weighed else None)
    if case.kind == "direct":
        predicted = curve.values(np.array([reading]))[0]
        return bool(abs(value - predicted) <= around.reach(np.array([reading]))[0])
    with np.errstate(all="ignore"):  # a line is a parabola without curvature
        readings, _ = curve.inverse(np.array([value]))
    if not np.isfinite(readings[0]):
        return None
    lower, upper = around.inverted(np.array([value]), readings)
    return bool(lower[0] <= reading <= upper[0]) if np.isfinite([lower[0], upper[0]]).all() else None


def _calibrated(model: str, t_u: Floats, t_c: Floats, sigma: Floats | None) -> tuple[Curve, Band]:
    """The best fit and the band of a new reading about it, from what would be on record."""
    start = torch.zeros(SIZES[model], dtype=torch.float64)
    weights = EQUAL if sigma is None else _weights(sigma)
    found = yardstick(
        MODELS[model],
        mse,
        UNCHANGED,
        torch.from_numpy(t_u),
        torch.from_numpy(t_c),
        start,
        weights=weights,
    )
    curve = Curve(_polynomial, found.raw_params.numpy(), 0.0, 1.0, True, t_u.min(), t_u.max())
    return curve, band(curve, Uncertainty(found).for_predictions(0.0), Wanted())


def _polynomial(t_u: Floats, *params: float) -> Floats:
    return np.asarray(np.polyval(params, t_u))


def _weights(sigma: Floats) -> Weights:
    root = torch.from_numpy(1 / sigma)
    mean = float(root.square().mean().sqrt())
    return Weights(root / mean, 1 / mean, is_known=True)


def main() -> None:
    """Print the rates as the table of the README."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=20_000, help="calibrations a row")
    sets = parser.parse_args().sets
    print("| interval | calibration | N | holds, % | none, % |")
    print("| --- | --- | ---: | ---: | ---: |")
    with ProcessPoolExecutor(2) as pool:
        for case, found in zip(CASES, pool.map(covered, CASES, [sets] * len(CASES)), strict=True):
            none = 100 * (1 - found.intervals / sets)
            rates = f"{100 * found.part:.2f} | {none:.2f}"
            print(f"| {case.kind} | {case.name} | {case.n} | {rates} |", flush=True)


if __name__ == "__main__":
    main()
