"""Use a calibration: readings in, true values out, or the other way round; CSV on standard output.

    python -m src.predict best 35.7 55.9                   # by the experiment's best run
    python -m src.predict best --inverse 0.5 -4            # true values in, readings out
    python -m src.predict 01a2… --csv new.csv              # by a run's id; other columns are kept
    python -m src.predict models:/thermometer/1 < new.csv  # by a registered model: a CSV, or a number a line

Exit codes: 0 done, 2 a mistake, 130 and 143 when interrupted.

torch is not needed, but for a function of one's own; pandas and MLflow are imported once the command line is
known to be right.
"""

from __future__ import annotations

import argparse
import gc
import math
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from . import early, heavy  # noqa: F401  (early is to be imported, that is all)
from .config import ConfigError, printable
from .spelling import defaults_of
from .terminal import interrupts
from .terminal.command import ArgumentParser, run_command
from .terminal.streams import print_data

if TYPE_CHECKING:
    import pandas as pd

    from .tracking.model import Predictor

WHICH = re.compile(r"best|[0-9a-f]{32}|models:/[^/:@]+(/\d+|/latest|@[^/:@]+)?")
IN_RANGE = "in_range"  # the output's column: is the reading within the calibrated range?


@dataclass(frozen=True)
class Given:
    """N rows of cells as text under a header; a mere column of numbers has none. Errors tell the source."""

    source: str
    header: list[str] | None
    rows: pd.DataFrame


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line; raises ConfigError with every mistake in it."""
    parser = ArgumentParser("predict", __doc__ or "")
    parser.usage = "%(prog)s WHICH [READING ...] [--csv FILE] [--experiment NAME] [--inverse]"
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WHICH [READING ...]",
        help="WHICH is best, a run's id, models:/NAME/VERSION, models:/NAME@ALIAS or models:/NAME (latest)",
    )
    parser.add_argument("--csv", metavar="FILE", help="a CSV with a column of readings, or of true values")
    parser.add_argument("--experiment", metavar="NAME", help="where best looks, if not in the default one")
    parser.add_argument("--inverse", action="store_true", help="true values are given, readings are wanted")
    # argparse takes -1e3 for an option; what has a blank in it is none
    words = [f" {word}" if word.startswith("-") and _is_number(word) else word for word in argv]
    options = parser.parse_intermixed_args(words)
    options.which, *options.readings = options.words or [""]
    if mistakes := list(_mistakes(options)):
        parser.error("; ".join(mistakes))
    return options


def _mistakes(options: argparse.Namespace) -> Iterator[str]:
    if not WHICH.fullmatch(options.which):
        yield (
            f"{options.which.strip()!r} is no calibration: give best, a run's id (32 digits), "
            "models:/NAME/VERSION, models:/NAME@ALIAS or models:/NAME"
        )
    if bad := [word.strip() for word in options.readings if not _is_number(word) or math.isinf(float(word))]:
        yield f"{', '.join(bad)}: not a finite number; give readings like 35.7, or a file as --csv FILE"
    if options.readings and options.csv is not None:
        yield "readings and --csv exclude each other"
    if options.experiment is not None and options.which != "best":
        yield "--experiment is where best looks: a run's id or a model needs none"


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False


def predict(options: argparse.Namespace) -> None:
    """Print the CSV, and warnings beside it; raises ConfigError where there is nothing to predict with."""
    given = read(options)
    predictor = choose(options.which, options.experiment)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = predictions(given, predictor, options.inverse)
    if options.which == "best":
        print(printable(f"best: {predictor.of}"), file=sys.stderr)
    for warning in caught:
        if warning.category is UserWarning:  # the model's own
            print(printable(f"warning: {warning.message}"), file=sys.stderr)
    print_data(table.to_csv(index=False, lineterminator="\n"))


def read(options: argparse.Namespace) -> Given:
    """From the command line, the file, or standard input; raises ConfigError for what is no CSV."""
    if options.readings:
        source, content = "the command line", "\n".join(options.readings).encode()
    elif options.csv is not None:
        source, content = options.csv, heavy.data.read(options.csv, "--csv ")
    elif sys.stdin.isatty():
        raise ConfigError("give readings, or a file as --csv FILE, or either on standard input")
    else:
        source, content = "standard input", sys.stdin.buffer.read()
    table = heavy.data.parse(content, source)
    header = heavy.data.header(table)
    if len(header) == 1 and _is_number(header[0]):
        return Given(source, None, table)
    return Given(source, header, table.iloc[1:])


def choose(which: str, experiment: str | None) -> Predictor:
    """Raises ConfigError where there is no store, no such run or model, or it has no calibration."""
    store = heavy.store.existing()
    heavy.abandoned.end_abandoned(store)
    if which.startswith("models:/"):
        return heavy.model.load(store, which)
    if which != "best":
        return heavy.model.of_run(store, heavy.reader.get(store, which))
    if experiment is None:
        experiment = heavy.model.where_best(
            store, defaults_of("tracking", "mlflow")["tracking", "experiment"]
        )
    store = heavy.store.existing(experiment)
    best = heavy.model.best(store)
    predictor = heavy.model.of_run(store, best.run)
    return replace(predictor, of="; ".join(filter(None, [predictor.of, best.remark])))


def predictions(given: Given, predictor: Predictor, inverse: bool) -> pd.DataFrame:
    """What was given (N, columns), then the other column and `in_range`: all as text.

    Raises ConfigError for wrong columns, and with every cell that is no finite number.
    """
    import pandas as pd

    header = given.header or [predictor.target if inverse else predictor.input]
    name = _column(given.source, header, predictor, inverse)
    values, problems = heavy.data.numbers(name, given.rows.iloc[:, header.index(name)])
    if problems:
        raise ConfigError(f"{given.source}: {'; '.join(heavy.data.first(problems))}")
    found = predictor.predict(pd.DataFrame({name: values}, index=given.rows.index))
    other = predictor.input if name == predictor.target else predictor.target
    answers = [found[other].map(_digits), found[IN_RANGE].map({True: "true", False: "false"})]
    return pd.concat([given.rows, *answers], axis="columns").set_axis(
        [*header, other, IN_RANGE], axis="columns"
    )


def _column(source: str, header: list[str], predictor: Predictor, inverse: bool) -> str:
    """The column that is given; raises ConfigError unless it is clear and the computed ones are free."""
    names = [predictor.target] if inverse else [predictor.input, predictor.target]
    known = [name for name in names if name in header]
    if not known:
        raise ConfigError(f"{source}: no column {' or '.join(names)}; there is {', '.join(header) or 'none'}")
    name = known[0]
    if header.count(name) > 1:
        raise ConfigError(f"{source}: {header.count(name)} columns are called {name}")
    computed = {predictor.input, predictor.target, IN_RANGE} - {name}
    if taken := [column for column in header if column in computed]:
        raise ConfigError(
            f"{source}: {' and '.join(taken)} would be there twice, given and computed from {name}: "
            "rename what is given, or leave it out"
        )
    return name


def _digits(value: float | None) -> str:
    """The shortest text that is this number, as a served model gives it; empty where there is no value."""
    return "" if value is None else repr(float(value)).removesuffix(".0")


def command(argv: list[str] | None = None) -> int:
    """What `python -m src.predict` does; returns the exit code."""
    with interrupts.raising():
        return run_command(lambda: predict(parse(sys.argv[1:] if argv is None else argv)))


if __name__ == "__main__":
    exit_code = command()
    gc.freeze()  # or the interpreter spends a second looking for garbage in MLflow as it ends
    sys.exit(exit_code)
