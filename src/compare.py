"""Compare runs in the terminal, best first; choose one, and keep its model.

    python -m src.compare                                   # the latest sweep
    python -m src.compare sweep-2026-11-24-021530-k3x9a1    # a sweep by its name
    python -m src.compare 01a2… 01a3…                       # runs by their ids
    python -m src.compare --experiment thermometer          # all runs of an experiment
    python -m src.compare --filter "params.normalization = 'zscore' and metrics.loss_gap < 1e-3" --top 5
    python -m src.compare --sort "loss desc" --format csv > runs.csv
    python -m src.compare --page comparison                 # table, figures and words into a folder
    python -m src.compare --register thermometer            # the first run's model, on record and registered

Exit codes: 0 done, 2 a mistake and nothing recorded, 130 and 143 when interrupted.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .config import LONGEST_MODEL_NAME, MODEL_NAME, ConfigError
from .terminal.arguments import ArgumentParser, answer

if TYPE_CHECKING:
    from .tracking.record import TrackedRun
    from .tracking.selection import Selection
    from .tracking.store import Store


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line; raises ConfigError for one that cannot be read."""
    parser = ArgumentParser("src.compare", __doc__ or "")
    parser.add_argument(
        "which", nargs="*", help="the name of a sweep, or ids of runs; without any, the latest sweep"
    )
    parser.add_argument("--experiment", metavar="NAME", help="all its runs; with WHICH, only where to look")
    parser.add_argument("--filter", default="", help="in MLflow's search syntax")
    parser.add_argument(
        "--sort", default="loss_gap", metavar="KEY", help="a metric or param, also 'KEY desc'"
    )
    parser.add_argument("--top", type=int, metavar="N", help="no more than N runs")
    parser.add_argument("--format", choices=["table", "csv", "json"], default="table")
    parser.add_argument("--page", type=Path, metavar="FOLDER", help="write table, figures and words there")
    parser.add_argument("--model", action="store_true", help="log the first run's model")
    parser.add_argument("--register", metavar="NAME", help="log the first run's model and register it")
    options = parser.parse_args(argv)
    if options.top is not None and options.top < 1:
        raise ConfigError(f"--top {options.top} is not allowed: give a whole number from 1")
    name = options.register
    if name is not None and (len(name) > LONGEST_MODEL_NAME or not re.fullmatch(MODEL_NAME, name)):
        raise ConfigError(f"--register {name[:60]!r} is not allowed: give a short name without / : @")
    return options


def compare(options: argparse.Namespace) -> None:
    """Print the runs that are asked for; raises ConfigError where there are none."""
    from .report import table
    from .tracking import reader
    from .tracking import store as stores

    store = stores.existing(options.experiment)
    selection = select(options, store)
    runs = chosen(options, store, selection)
    match options.format:
        case "csv":
            table.as_frame(runs).to_csv(sys.stdout, index=False)
        case "json":
            print(json.dumps(table.as_records(runs), indent=2))
        case "table":
            page = reader.page(store, selection, runs[0])
            table.print_comparison(runs, page, store.how_to_serve, options.top or table.MOST_ROWS)
    if options.model or options.register:
        keep_model(runs[0], store, options.register)
    if options.page:
        write_page(options.page, runs, store)


def select(options: argparse.Namespace, store: Store) -> Selection:
    """Which runs are meant."""
    from .tracking import reader
    from .tracking.selection import Selection

    if options.which:
        return reader.named(store, options.which, options.filter)
    if options.experiment:
        return Selection(filter=options.filter)
    latest = reader.latest_sweep(store)
    if latest is None:
        raise ConfigError("no sweep is on record: give ids of runs, or an experiment with --experiment NAME")
    return Selection(sweep=latest, filter=options.filter)


def chosen(options: argparse.Namespace, store: Store, selection: Selection) -> list[TrackedRun]:
    """The selected runs, ranked, as many as asked for."""
    from .report import table
    from .tracking import reader

    runs = reader.runs(store, selection)
    missing = set(selection.run_ids) - {run.run_id for run in runs}
    if missing and not options.filter:
        raise ConfigError(f"there is no run {', '.join(sorted(missing))}")
    if not runs:
        raise ConfigError(f"no run passes the filter {options.filter!r}" if options.filter else "no runs yet")
    by, _, order = options.sort.partition(" ")
    if order not in ("", "asc", "desc"):
        raise ConfigError(f"--sort {options.sort!r} cannot be read: give 'KEY', 'KEY asc' or 'KEY desc'")
    return table.ranked(runs, by, descending=order == "desc")[: options.top]


def keep_model(run: TrackedRun, store: Store, register: str | None) -> None:
    """Log the run's model, and register it where that is asked for; beside CSV and JSON, not in them."""
    from .tracking import model

    print(f"model        {model.log(store, run, register).uri}", file=sys.stderr)


def write_page(folder: Path, runs: list[TrackedRun], store: Store) -> None:
    """The files that a sweep's page has, on these runs."""
    from .report import page, table

    try:
        folder.mkdir(parents=True, exist_ok=True)
        page.write(folder, "Comparison", table.ranked(runs), store)  # its words are about the best
    except OSError as error:
        raise ConfigError(f"--page {folder} cannot be written: {error.strerror}") from error


def command(argv: list[str] | None = None) -> int:
    """What `python -m src.compare` does; returns the exit code."""
    return answer(lambda: compare(parse(sys.argv[1:] if argv is None else argv)))


if __name__ == "__main__":
    sys.exit(command())
