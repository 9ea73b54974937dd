"""Take a calibration elsewhere: as JSON, as a C header, as a block for ESPHome; on standard output.

    python -m src.export best --format json                 # parameters, covariance, range, digest
    python -m src.export best --format c > calibration.h    # a function of float, with its error
    python -m src.export models:/thermometer/1 --format esphome

Exit codes: 0 done, 1 where the output cannot be written, 2 a mistake, 130, 143 and 129 when interrupted.
"""

from __future__ import annotations

import argparse
import sys

from . import early, heavy, which  # noqa: F401  (early is to be imported, that is all)
from .config import ConfigError, printable
from .terminal import interrupts
from .terminal.command import ArgumentParser, run_command
from .terminal.streams import print_data


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line; raises ConfigError for what is wrong with it."""
    parser = ArgumentParser("export", __doc__ or "")
    parser.add_argument("which", metavar="WHICH", help=which.HELP)
    parser.add_argument("--format", required=True, metavar="FORMAT", help="json, c or esphome")
    parser.add_argument("--experiment", metavar="NAME", help="where best looks, if not in the default one")
    options = parser.parse_args(argv)
    if mistakes := list(which.mistakes(options.which, options.experiment)):
        parser.error("; ".join(mistakes))
    return options


def export(options: argparse.Namespace) -> None:
    """Print the calibration; raises ConfigError where there is none, or the format cannot hold it."""
    formats = heavy.exports.names()
    if options.format not in formats:
        raise ConfigError(f"--format {options.format}: give {', '.join(formats[:-1])} or {formats[-1]}")
    store = which.store_of(options.which, options.experiment)
    run, remark = which.run_of(store, options.which)
    text = heavy.exports.write(options.format, heavy.exports.Calibration.of(store, run))
    if options.which == "best":
        said = "; ".join(filter(None, [f"{run.name}, run {run.run_id}", remark]))
        print(printable(f"best: {said}"), file=sys.stderr)
    if "caution" in run.tags:
        print(printable(f"caution: {run.tags['caution']}"), file=sys.stderr)
    print_data(text.rstrip("\n") + "\n")


def command(argv: list[str] | None = None) -> int:
    """What `python -m src.export` does; returns the exit code."""
    with interrupts.raising():
        return run_command(lambda: export(parse(sys.argv[1:] if argv is None else argv)))


if __name__ == "__main__":
    sys.exit(command())
