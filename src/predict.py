"""Use a calibration: readings in, true values out, or the other way round; CSV on standard output.

    python -m src.predict best 35.7 55.9                   # by the experiment's best run
    python -m src.predict best --inverse 0.5 -4            # true values in, readings out
    python -m src.predict 01a2… --csv new.csv              # by a run's id; other columns are kept
    python -m src.predict models:/thermometer/1 < new.csv  # by a registered model: a CSV, or a number a line
    python -m src.predict best --csv both.csv              # both columns: what is predicted is checked
    python -m src.predict best 35.7 --curve --coverage .9  # the 90 % interval of the curve itself

Each answer has its standard uncertainty and its interval, by default the 95 % one of a new reading; where
there is none, the last column says why. How a CSV is written is recognised and said; where it could be in two
ways, an option says in which: --decimal comma.

Exit codes: 0 done, 1 where the output cannot be written, 2 a mistake, 130, 143 and 129 when interrupted.

torch is not needed, but for a function of one's own; pandas and MLflow are imported once the command line is
known to be right.
"""

from __future__ import annotations

import argparse
import math
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from . import early, heavy  # noqa: F401  (early is to be imported, that is all)
from .config import ConfigError, printable
from .kinds import at_home
from .layout import Layout
from .settings import about
from .tables import files, table
from .tables.source import Source
from .terminal import interrupts
from .terminal.command import ArgumentParser, run_command
from .terminal.streams import print_data
from .tracking.band import Wanted, wanted
from .which import HELP, is_model, mistakes, run_of, store_of

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from .tracking.predictor import Predictor


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line; raises ConfigError with every mistake in it."""
    parser = ArgumentParser("predict", __doc__ or "")
    parser.usage = (
        "%(prog)s WHICH [READING ...] [--csv FILE] [--experiment NAME] [--inverse]\n"
        "       [--coverage P] [--curve | [--replicates M] [--sigma S]]\n"
        "       [--delimiter X] [--decimal X] [--thousands X] [--header X] [--comment X] [--quote X] "
        "[--encoding X] [--sheet X]"
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WHICH [READING ...]",
        help=HELP,
    )
    parser.add_argument(
        "--csv", type=at_home, metavar="FILE", help="a CSV with a column of readings, or of true values"
    )
    parser.add_argument("--experiment", metavar="NAME", help="where best looks, if not in the default one")
    parser.add_argument("--inverse", action="store_true", help="true values are given, readings are wanted")
    parser.add_argument("--coverage", metavar="P", help="of the interval; 0.95")
    parser.add_argument("--curve", action="store_true", help="of the curve itself, not of a new reading")
    parser.add_argument("--replicates", metavar="M", help="each reading is the mean of so many; 1")
    parser.add_argument("--sigma", metavar="S", help="uncertainty of a new true value; that of the data")
    for name, field in Layout.model_fields.items():
        parser.add_argument(f"--{name}", metavar="X", help=f"of the CSV: {about(field).allowed}")
    parser.set_defaults(**asdict(Wanted()))
    # argparse takes -1e3 for an option; what has a blank in it is none
    words = [f" {word}" if word.startswith("-") and _is_number(word) else word for word in argv]
    options = parser.parse_intermixed_args(words)
    options.which, *options.readings = options.words or [""]
    if found := list(_mistakes(options)):
        parser.error("; ".join(found))
    options.wanted = asdict(wanted(_wanted(options)))
    options.layout = Layout.model_validate(_layout(options))
    return options


def _wanted(options: argparse.Namespace) -> dict[str, Any]:
    """The options of the interval, as they are given."""
    given = {field.name: getattr(options, field.name) for field in fields(Wanted)}
    return {name: value.strip() if isinstance(value, str) else value for name, value in given.items()}


def _layout(options: argparse.Namespace) -> dict[str, str]:
    """How the CSV is written, as far as that is said."""
    given = {name: getattr(options, name) for name in Layout.model_fields}
    return {name: value for name, value in given.items() if value is not None}


def _mistakes(options: argparse.Namespace) -> Iterator[str]:
    yield from mistakes(options.which, options.experiment)
    if bad := [word.strip() for word in options.readings if not _is_number(word) or math.isinf(float(word))]:
        like = "with a decimal point, like 35.7" if any("," in word for word in bad) else "like 35.7"
        yield f"{', '.join(bad)}: not a finite number; give readings {like}, or a file as --csv FILE"
    if options.readings and options.csv is not None:
        yield "readings and --csv exclude each other"
    try:
        wanted(_wanted(options))
    except ValueError as error:
        yield str(error)
    try:
        Layout.model_validate(_layout(options))
    except ValidationError as error:
        yield from dict.fromkeys(map(_wrong_option, error.errors()))


def _wrong_option(detail: ErrorDetails) -> str:
    """What is wrong with how the CSV is said to be written."""
    if not detail["loc"]:
        return str(detail.get("ctx", {}).get("error", ""))
    name = str(detail["loc"][0])
    return f"--{name} {detail['input']} is not allowed: give {about(Layout.model_fields[name]).allowed}"


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False


def predict(options: argparse.Namespace) -> None:
    """Print the CSV, and what is to be said beside it; raises ConfigError where nothing can be predicted."""
    name, content = read(options)
    predictor = choose(options.which, options.experiment)
    source = Source(
        name, options.layout, "--{} {}".format, (predictor.input, predictor.target), may_be_bare=True
    )
    given = table.read(content, source)
    places = heavy.answers.columns(given, predictor, options.inverse)
    numbers, said = heavy.answers.numbers(given, places)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answers = heavy.answers.predictions(numbers, predictor, options.wanted)
    if options.which == "best":
        _say(f"best: {predictor.of}")
    if told := "; ".join(filter(None, [", ".join([*given.said, *said]), *given.doubts])):
        _say(f"{given.source.name}: {told}")
    if not predictor.has_uncertainty:
        _say("warning: this calibration has no uncertainty on record, and its answers have none")
    for warning in caught:
        if warning.category is UserWarning:  # the model's own
            _say(f"warning: {warning.message}")
    if "deviation" in answers:
        _say(heavy.answers.deviations(answers, options.wanted["coverage"]))
    print_data(heavy.answers.as_csv(given, places, answers))


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr)


def read(options: argparse.Namespace) -> tuple[str, bytes]:
    """What errors call it, and what was given: on the command line, in the file, or on standard input."""
    if options.readings:
        return "the command line", "".join(f"{reading.strip()}\n" for reading in options.readings).encode()
    if options.csv is not None:
        return options.csv, files.read(options.csv, "--csv ")
    if sys.stdin.isatty():
        raise ConfigError("give readings, or a file as --csv FILE, or either on standard input")
    return "standard input", sys.stdin.buffer.read()


def choose(which: str, experiment: str | None) -> Predictor:
    """Raises ConfigError where there is no store, no such run or model, or it has no calibration."""
    store = store_of(which, experiment)
    if is_model(which):
        return heavy.registry.load(store, which)
    run, remark = run_of(store, which)
    predictor = heavy.predictor.of_run(store, run)
    return replace(predictor, of="; ".join(filter(None, [predictor.of, remark])))


def command(argv: list[str] | None = None) -> int:
    """What `python -m src.predict` does; returns the exit code."""
    with interrupts.raising():
        return run_command(lambda: predict(parse(sys.argv[1:] if argv is None else argv)))


if __name__ == "__main__":
    sys.exit(command())
