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
    """Each spacing and size of which there are more different readings than a line has parameters."""
    for spacing, model, n in product(SPACINGS, DEGREES, SIZES):
        if len(np.unique(SPACINGS[spacing](n))) > 2:
            yield model, spacing, n


def main() -> None:
    """Print the rates as the tables of the README: by readings and size, and by what was told first."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=10_000, help="sets of each kind and size")
    sets = parser.parse_args().sets
    every = list(cases())
    with ProcessPoolExecutor(2) as pool:
        found = dict(zip(every, pool.map(alarms, every, [sets] * len(every)), strict=True))
    print("| readings | model |", " | ".join(f"N = {n}" for n in SIZES), "|")
    print("| --- | --- |", " | ".join(["---:"] * len(SIZES)), "|")
    for spacing, model in product(SPACINGS, DEGREES):
        counts = [found.get((model, spacing, n)) for n in SIZES]
        shown = ["" if each is None else f"{100 * each['any'] / sets:.2f}" for each in counts]
        print(f"| {spacing} | {model} |", " | ".join(shown), "|")
    print("\n| told first | % |\n| --- | ---: |")
    for kind, count in sum(found.values(), Counter[str]()).most_common():
        print(f"| {kind} | {100 * count / sets / len(every):.3f} |")


if __name__ == "__main__":
    main()
