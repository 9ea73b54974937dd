"""Compare runs in the terminal, best first; choose one, and keep its model.

    python -m src.compare                                   # the latest sweep
    python -m src.compare sweep-2026-11-24-021530-k3x9a1    # a sweep by its name
    python -m src.compare 01a2… 01a3…                       # runs by their ids
    python -m src.compare --experiment thermometer          # all runs of an experiment
    python -m src.compare --filter "lr < 0.01 and normalization = 'zscore' and loss_gap < 1e-3" --top 5
    python -m src.compare --sort "loss desc" --format csv > runs.csv
    python -m src.compare --page comparison                 # table, figures and words into a folder
    python -m src.compare --register thermometer            # the first run's model, on record and registered
    python -m src.compare --report best                     # a calibration report to print, report.html

Runs on several data sets are several tables, each with a first run of its own.

Exit codes: 0 done, 1 where the output cannot be written, 2 a mistake and nothing recorded, 130, 143 and 129
when interrupted.
"""

from __future__ import annotations

import argparse
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import early, heavy, package, which  # noqa: F401  (early is to be imported, that is all)
from .config import ConfigError, printable
from .kinds import LONGEST_MODEL_NAME, MODEL_NAME, at_home
from .terminal import interrupts
from .terminal.command import ArgumentParser, run_command
from .workplace import require_temporary_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .report.comparison import Comparison
    from .tracking.record import TrackedRun
    from .tracking.selection import Selection
    from .tracking.store import Store


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line; raises ConfigError for one that cannot be read."""
    parser = ArgumentParser("compare", __doc__ or "")
    parser.add_argument(
        "which", nargs="*", help="the name of a sweep, or ids of runs; without any, the latest sweep"
    )
    parser.add_argument("--experiment", metavar="NAME", help="all its runs; with WHICH, only where to look")
    parser.add_argument("--filter", default="", help="like 'lr < 0.01', or in MLflow's search syntax")
    parser.add_argument(
        "--sort", default="", metavar="KEY", help="not best first but by a metric or param, also 'KEY desc'"
    )
    parser.add_argument("--top", type=int, metavar="N", help="no more than N runs on each data set")
    parser.add_argument("--format", choices=["table", "csv", "json"], default="table")
    parser.add_argument("--page", type=at_home, metavar="FOLDER", help="write table, figures and words there")
    parser.add_argument(
        "--report", metavar="RUN", help="a calibration report, into the working folder or that of --page"
    )
    parser.add_argument("--model", action="store_true", help="log the first run's model")
    parser.add_argument("--register", metavar="NAME", help="log the first run's model and register it")
    options = parser.parse_args(argv)
    if options.top is not None and options.top < 1:
        raise ConfigError(f"--top {options.top} is not allowed: give a whole number from 1")
    if options.report is not None:
        _check_report(options)
    name = options.register
    if name is not None and (len(name) > LONGEST_MODEL_NAME or not re.fullmatch(MODEL_NAME, name)):
        raise ConfigError(
            f"--register {name[:60]!r} is not allowed: give a short name without / : @, nor .. in front"
        )
    return options


def _check_report(options: argparse.Namespace) -> None:
    """Raises ConfigError for what is no run, or stands beside one."""
    if not which.WHICH.fullmatch(options.report):
        raise ConfigError(f"--report {options.report[:60]!r} is no run: {which.ALLOWED}")
    beside = {
        "WHICH": options.which,
        "--filter": options.filter,
        "--sort": options.sort,
        "--top": options.top,
        "--format": options.format != "table",
        "--model": options.model,
        "--register": options.register,
    }
    if given := [name for name, value in beside.items() if value]:
        raise ConfigError(f"--report is of one run: leave out {', '.join(given)}")
    if options.experiment is not None and options.report != "best":
        raise ConfigError("--experiment is where --report best looks: a run's id or a model needs none")


def report(options: argparse.Namespace) -> None:
    """Write a run's report, and say where; raises ConfigError for a run without a calibration."""
    store = which.store_of(options.report, options.experiment)
    run, remark = which.run_of(store, options.report)
    folder = Path(options.page or ".")
    make_folder(folder)
    try:
        path = heavy.evaluation.write(store, run, folder)
    except OSError as error:
        raise ConfigError(f"the report cannot be written to {folder}: {error.strerror}") from error
    said = "; ".join(filter(None, [f"of {run.name}, run {run.run_id}", remark]))
    print(printable(f"report       {path}   ({said})"))


def compare(options: argparse.Namespace) -> None:
    """Print the runs that are asked for; raises ConfigError where there are none."""
    if options.report:
        report(options)
        return
    if options.model or options.register:
        require_temporary_folder()
    store = heavy.store.existing(options.experiment)
    heavy.abandoned.end_abandoned(store)
    selection = select(options, store)
    runs = chosen(options, store, selection)
    heavy.registry.check_registration(options.register, {run.data_digest for run in runs})
    if options.page:
        make_folder(Path(options.page))
    comparison = heavy.comparison.Comparison(store, "Comparison", runs)
    firsts = [part.runs[0] for part in comparison.data_sets]
    heavy.publish.publish(
        comparison,
        heavy.reader.addresses(store, selection, runs),
        style=options.format,
        most=options.top or heavy.screen.MOST_ROWS,
        models=firsts if options.model or options.register else [],
        register=options.register,
        write_page=partial(_write_page, Path(options.page)) if options.page else None,
    )


def _write_page(folder: Path, comparison: Comparison, links: Mapping[str, str]) -> None:
    """Ranked, however the runs are shown."""
    heavy.page.write(comparison.best_first, links, folder=folder)


def select(options: argparse.Namespace, store: Store) -> Selection:
    """Which runs are meant."""
    if options.which:
        return heavy.reader.named(store, options.which, options.filter)
    if options.experiment:
        return heavy.selection.Selection(filter=options.filter)
    latest = heavy.reader.latest_sweep(store)
    if latest is None:
        raise ConfigError("no sweep is on record: give ids of runs, or an experiment with --experiment NAME")
    return heavy.selection.Selection(sweep=latest, filter=options.filter)


def chosen(options: argparse.Namespace, store: Store, selection: Selection) -> list[TrackedRun]:
    """The selected runs, ranked, as many on each data set as asked for."""
    runs = heavy.reader.runs(store, selection)
    missing = set(selection.run_ids) - {run.run_id for run in runs}
    if missing and not options.filter:
        raise ConfigError(f"there is no run {', '.join(sorted(missing))}")
    if not runs:
        raise ConfigError(_why_none(options.filter, selection.sweep))
    by, _, order = options.sort.partition(" ")
    if order not in ("", "asc", "desc"):
        raise ConfigError(f"--sort {options.sort!r} cannot be read: give 'KEY', 'KEY asc' or 'KEY desc'")
    found = heavy.ranking.ranked(runs, by or None, descending=order == "desc")
    return [run for part in heavy.ranking.data_sets(found) for run in part[: options.top]]


def _why_none(filter: str, sweep: str) -> str:
    """Of a selection without a run, and what to do."""
    if filter:
        return f"no run matches the filter {filter!r}"
    if sweep:
        return (
            f"no run of {sweep} is on record; {package.command('train')} resume={sweep} goes on with it: "
            "name another sweep, ids of runs, or an experiment with --experiment NAME"
        )
    return "there are no runs yet"


def make_folder(folder: Path) -> None:
    """Make it where it is not there; raises ConfigError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--page {folder} cannot be written: {error.strerror}") from error


def command(argv: list[str] | None = None) -> int:
    """What `python -m src.compare` does; returns the exit code."""
    with interrupts.raising():
        return run_command(lambda: compare(parse(sys.argv[1:] if argv is None else argv)))


if __name__ == "__main__":
    sys.exit(command())
