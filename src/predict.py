"""Use a calibration: readings in, true values out, or the other way round; CSV on standard output.

    python -m src.predict best 35.7 55.9                   # by the experiment's best run
    python -m src.predict best --inverse 0.5 -4            # true values in, readings out
    python -m src.predict 01a2… --csv new.csv              # by a run's id; other columns are kept
    python -m src.predict models:/thermometer/1 < new.csv  # by a registered model: a CSV, or a number a line
    python -m src.predict best --csv both.csv              # both columns: what is predicted is checked
    python -m src.predict best 35.7 --curve --coverage .9  # the 90 % interval of the curve itself

Each answer has its standard uncertainty and its interval, by default the 95 % one of a new reading; where
there is none, the last column says why.

Exit codes: 0 done, 2 a mistake, 130 and 143 when interrupted.

torch is not needed, but for a function of one's own; pandas and MLflow are imported once the command line is
known to be right.
"""

from __future__ import annotations

import argparse
import gc
import math
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from . import early, heavy  # noqa: F401  (early is to be imported, that is all)
from .config import ConfigError, printable
from .settings import PREDICTED
from .terminal import interrupts
from .terminal.command import ArgumentParser, run_command
from .terminal.streams import print_data
from .tracking.band import Wanted, wanted
from .which import ALLOWED, HELP, WHICH, is_model, run_of, store_of

if TYPE_CHECKING:
    import pandas as pd

    from .tracking.model import Predictor


@dataclass(frozen=True)
class Given:
    """N rows of cells as text under a header; a mere column of numbers has none. Errors tell the source."""

    source: str
    header: list[str] | None
    rows: pd.DataFrame


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line; raises ConfigError with every mistake in it."""
    parser = ArgumentParser("predict", __doc__ or "")
    parser.usage = (
        "%(prog)s WHICH [READING ...] [--csv FILE] [--experiment NAME] [--inverse]\n"
        "       [--coverage P] [--curve | [--replicates M] [--sigma S]]"
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WHICH [READING ...]",
        help=HELP,
    )
    parser.add_argument("--csv", metavar="FILE", help="a CSV with a column of readings, or of true values")
    parser.add_argument("--experiment", metavar="NAME", help="where best looks, if not in the default one")
    parser.add_argument("--inverse", action="store_true", help="true values are given, readings are wanted")
    parser.add_argument("--coverage", metavar="P", help="of the interval; 0.95")
    parser.add_argument("--curve", action="store_true", help="of the curve itself, not of a new reading")
    parser.add_argument("--replicates", metavar="M", help="each reading is the mean of so many; 1")
    parser.add_argument("--sigma", metavar="S", help="uncertainty of a new true value; that of the data")
    parser.set_defaults(**asdict(Wanted()))
    # argparse takes -1e3 for an option; what has a blank in it is none
    words = [f" {word}" if word.startswith("-") and _is_number(word) else word for word in argv]
    options = parser.parse_intermixed_args(words)
    options.which, *options.readings = options.words or [""]
    if mistakes := list(_mistakes(options)):
        parser.error("; ".join(mistakes))
    options.wanted = asdict(wanted(_wanted(options)))
    return options


def _wanted(options: argparse.Namespace) -> dict[str, Any]:
    """The options of the interval, as they are given."""
    given = {field.name: getattr(options, field.name) for field in fields(Wanted)}
    return {name: value.strip() if isinstance(value, str) else value for name, value in given.items()}


def _mistakes(options: argparse.Namespace) -> Iterator[str]:
    if not WHICH.fullmatch(options.which):
        yield f"{options.which.strip()!r} is no calibration: {ALLOWED}"
    if bad := [word.strip() for word in options.readings if not _is_number(word) or math.isinf(float(word))]:
        yield f"{', '.join(bad)}: not a finite number; give readings like 35.7, or a file as --csv FILE"
    if options.readings and options.csv is not None:
        yield "readings and --csv exclude each other"
    if options.experiment is not None and options.which != "best":
        yield "--experiment is where best looks: a run's id or a model needs none"
    try:
        wanted(_wanted(options))
    except ValueError as error:
        yield str(error)


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False


def predict(options: argparse.Namespace) -> None:
    """Print the CSV, and what is to be said beside it; raises ConfigError where nothing can be predicted."""
    given = read(options)
    predictor = choose(options.which, options.experiment)
    names = columns(given, predictor, options.inverse)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answers = predictions(given, names, predictor, options.wanted)
    if options.which == "best":
        _say(f"best: {predictor.of}")
    if not predictor.has_uncertainty:
        _say("warning: this calibration has no uncertainty on record, and its answers have none")
    for warning in caught:
        if warning.category is UserWarning:  # the model's own
            _say(f"warning: {warning.message}")
    if "deviation" in answers:
        _say(_check(answers, options.wanted["coverage"]))
    print_data(_table(given, names, answers))


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr)


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
    store = store_of(which, experiment)
    if is_model(which):
        return heavy.model.load(store, which)
    run, remark = run_of(store, which)
    predictor = heavy.model.of_run(store, run)
    return replace(predictor, of="; ".join(filter(None, [predictor.of, remark])))


def columns(given: Given, predictor: Predictor, inverse: bool) -> list[str]:
    """The columns that are used: of readings, of true values, or in this order both, to be checked.

    Raises ConfigError unless it is clear which they are and the computed ones are free.
    """
    header = given.header or [predictor.target if inverse else predictor.input]
    names = [predictor.target] if inverse else [predictor.input, predictor.target]
    known = [name for name in names if name in header]
    if not known:
        raise ConfigError(
            f"{given.source}: no column {' or '.join(names)}; there is {', '.join(header) or 'none'}"
        )
    if several := [name for name in known if header.count(name) > 1]:
        raise ConfigError(f"{given.source}: {header.count(several[0])} columns are called {several[0]}")
    if taken := [column for column in header if column in _computed(known, predictor)]:
        raise ConfigError(
            f"{given.source}: {' and '.join(taken)} would be there twice, given and computed from "
            f"{known[0]}: rename what is given, or leave it out"
        )
    return known


def _computed(names: list[str], predictor: Predictor) -> list[str]:
    """The columns of what is computed from those."""
    if len(names) == 2:
        return list(PREDICTED)
    other = predictor.input if names == [predictor.target] else predictor.target
    return [other, *(name for name in PREDICTED if name not in ("predicted", "deviation"))]


def predictions(given: Given, names: list[str], predictor: Predictor, wanted: dict[str, Any]) -> pd.DataFrame:
    """What is computed for each row (N, columns) from the given columns.

    Raises ConfigError with every cell that is neither empty nor a finite number.
    """
    numbers = _numbers(given, names)
    found = predictor.predict(numbers[names[:1]], wanted)
    if len(names) == 2:
        found = found.rename(columns={predictor.target: "predicted"})
        found["deviation"] = numbers[predictor.target] - found["predicted"].astype(float)
    return found.reindex(columns=_computed(names, predictor))  # an older model gives less


def _numbers(given: Given, names: list[str]) -> pd.DataFrame:
    """The named columns (N, names); an empty cell is not a number."""
    import pandas as pd

    header = given.header or names
    cells = {name: given.rows.iloc[:, header.index(name)] for name in names}
    filled = {name: each[each.map(str.strip) != ""] for name, each in cells.items()}
    found = {name: heavy.data.numbers(name, each) for name, each in filled.items()}
    if problems := [problem for _, each in found.values() for problem in each]:
        raise ConfigError(f"{given.source}: {'; '.join(heavy.data.first(problems))}")
    numbers = {name: pd.Series(found[name][0], each.index) for name, each in filled.items()}
    return pd.DataFrame(numbers, index=given.rows.index, dtype=float)


def _check(answers: pd.DataFrame, coverage: float) -> str:
    """How far what is predicted is from the given true values, in a line."""
    checked = answers[answers["deviation"].notna()].drop(columns=["in_range", "remark"]).astype(float)
    size = checked["deviation"].abs()
    reach = (checked["upper"] - checked["lower"]) / 2
    line = f"{len(checked)} row{'s' * (len(checked) != 1)} checked"
    if len(checked):
        line += f": the root mean square of the deviations is {(size**2).mean() ** 0.5:.4g}"
    if reach.notna().any():
        line += f"; {(size > reach).sum()} of {reach.notna().sum()} outside the {100 * coverage:g} % interval"
    return line


def _table(given: Given, names: list[str], answers: pd.DataFrame) -> str:
    """The CSV: all columns that are given, as they are, then the answers."""
    import pandas as pd

    table = pd.concat([given.rows, answers.map(_text)], axis="columns")
    header = [*(given.header or names), *answers]
    return table.set_axis(header, axis="columns").to_csv(index=False, lineterminator="\n")


def _text(value: object) -> str:
    """Of a number the shortest text that is this number, as a served model gives it; empty for nothing."""
    if value is None or value != value:  # nan is not itself
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    return repr(float(value)).removesuffix(".0")  # type: ignore[arg-type]


def command(argv: list[str] | None = None) -> int:
    """What `python -m src.predict` does; returns the exit code."""
    with interrupts.raising():
        return run_command(lambda: predict(parse(sys.argv[1:] if argv is None else argv)))


if __name__ == "__main__":
    exit_code = command()
    gc.freeze()  # or the interpreter spends a second looking for garbage in MLflow as it ends
    sys.exit(exit_code)
