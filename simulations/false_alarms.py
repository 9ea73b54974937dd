"""The share of sound calibrations that are warned of: of all warnings together, it is to be under 1 %.

python -m simulations.false_alarms              # some ten minutes on two cores
python -m simulations.false_alarms --sets 1000  # a first look
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product

import numpy as np

from simulations._sets import DEGREES, SPACINGS, fitted
from src.diagnostics.findings import findings

SIZES = (5, 8, 10, 20, 50)
KINDS = (
    "saturation",
    "outlier",
    "outliers",
    "swapped",
    "next power",
    "next two powers",
    "logarithm",
    "replicates",
    "runs",
)

Case = tuple[str, str, int]  # model, spacing of the readings, N


def alarms(case: Case, sets: int) -> Counter[str]:
    """Of so many sound sets, how many are warned of, "any", and by what first; the same each time."""
    model, spacing, n = case
    t_u = SPACINGS[spacing](n)
    truth = 100 * t_u + (5 * t_u**2 if model == "quadratic" else 0)
    rng = np.random.default_rng([DEGREES[model], list(SPACINGS).index(spacing), n])
    counts: Counter[str] = Counter()
    for _ in range(sets):
        told = findings(fitted(model, t_u, truth + rng.standard_normal(len(t_u))))
        counts.update(["any", told[0].kind] if told else [])
    return counts


def cases() -> Iterator[Case]:
    """Lines and parabolas at each spacing and size; replicates have at least three different readings."""
    for spacing, model, n in product(SPACINGS, DEGREES, SIZES):
        if len(np.unique(SPACINGS[spacing](n))) > 2:
            yield model, spacing, n


def main() -> None:
    """Print the rates as the table of the README."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=10_000, help="sets a row")
    sets = parser.parse_args().sets
    print("| readings | model | N | any, % |", " | ".join(KINDS), "|")
    print("| --- | --- |", " | ".join(["---:"] * (len(KINDS) + 2)), "|")
    with ProcessPoolExecutor(2) as pool:
        rows = list(cases())
        for (model, spacing, n), found in zip(rows, pool.map(alarms, rows, [sets] * len(rows)), strict=True):
            rates = [f"{100 * found[kind] / sets:.2f}" for kind in ("any", *KINDS)]
            size = len(SPACINGS[spacing](n))
            print(f"| {spacing} | {model} | {size} |", " | ".join(rates), "|", flush=True)


if __name__ == "__main__":
    main()
