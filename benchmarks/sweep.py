"""A sweep over learning rates, one by one and in batches, beside the least it could take.

    python -m benchmarks.sweep                  # some minutes, on a quiet machine
    python -m benchmarks.sweep --sizes 1,10 --stock 3 --epochs 100 --rounds 1 --results /tmp    # a trial

Every measurement is a whole process on a fresh copy of one migrated store, in a temporary folder.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks._measure import FEW, ROOT, Place, measure_round, say
from benchmarks._page import machine, report, today


def main() -> None:
    """Measure, print, save."""
    options = parser().parse_args()
    described = machine()
    rounds = []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        say("migrating a store")
        place = Place(Path(folder), options.epochs)
        for number in range(1, options.rounds + 1):
            say(f"round {number} of {options.rounds}")
            rounds.append(measure_round(place, options.sizes, options.stock))
    page = report(rounds, options.epochs, described)
    print(page)
    options.results.mkdir(parents=True, exist_ok=True)
    path = options.results / f"{today()}.md"
    path.write_text(page)
    say(f"saved as {path}")


def parser() -> argparse.ArgumentParser:
    """The options; the defaults are what the saved results were measured with."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.sweep", description=(__doc__ or "").split("\n")[0]
    )
    made.add_argument("--sizes", type=_sizes, default="1,100,1000,10000", help="runs of the batch sweeps")
    made.add_argument("--stock", type=_more_than_few, default=10, help="runs of the stock sweep, more than 2")
    made.add_argument("--epochs", type=int, default=5000, help="of every run")
    made.add_argument("--rounds", type=int, default=3, help="how often everything is measured")
    made.add_argument(
        "--results", type=Path, default=ROOT / "benchmarks" / "results", help="folder to save to"
    )
    return made


def _sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _more_than_few(text: str) -> int:
    if int(text) <= FEW:
        raise argparse.ArgumentTypeError(f"{text} is not more than {FEW}")
    return int(text)


if __name__ == "__main__":
    main()
