"""What the terminal shows of runs on record: a table of many, the calibration of one."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Literal, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..config import printable
from ..fit.rates import limit_in_digits
from ..formula import Ranges, formula
from ..package import command
from ..spelling import best_is
from ..terminal.streams import print_data
from ..tracking.record import TrackedRun
from ..tracking.trust import parameters_found, quality, trained_enough
from .comparison import Comparison
from .differences import columns
from .reasons import reasons
from .table import (
    RESULTS,
    as_frame,
    as_records,
    number,
    param,
    parameter_columns,
    rest,
    title,
    what_came_of,
    with_parameters,
)

Style = Literal["calibration", "table", "csv", "json"]

MOST_ROWS = 30  # the CSV holds all
MOST_TABLES = 12  # and so many models that a sweep logs, one on each data set
MOST_FILES = 3
WIDEST = 1000


def show(comparison: Comparison, page: str, style: Style, most: int = MOST_ROWS) -> None:
    """The runs in their order, and the address of their page."""
    match style:
        case "csv":
            print_data(as_frame(comparison.runs).to_csv(index=False))
        case "json":
            print(json.dumps(as_records(comparison.runs), indent=2))
        case "table":
            _print_tables(comparison, most)
            _print_page("compare", page, comparison.store.how_to_serve)
        case "calibration":
            print_calibration(comparison.runs[0], comparison.ranges, comparison.unit)
            _print_page("on record", page, comparison.store.how_to_serve)


def _print_tables(comparison: Comparison, most: int) -> None:
    """A table for each data set, each under its name where they are several."""
    parts = comparison.data_sets
    for part in parts[:MOST_TABLES]:
        if len(parts) > 1:
            _say(part.data)
        print_table(part.runs, Console(), most)
        if len(parts) > 1:
            print()
    if len(parts) > MOST_TABLES:
        more = f"{len(parts) - MOST_TABLES:,} more data sets"
        _say(f"… and {more}, shown by {command('compare')} --format csv; --model logs their models")


def print_read(lines: Sequence[str]) -> None:
    """What was read from each file, in a line; of many files a count of the rest."""
    for line in lines[:MOST_FILES]:
        _say(f"data         {line}")
    if (more := len(lines) - MOST_FILES) > 0:
        _say(f"             … and {more:,} more file{'s' * (more > 1)}")


def print_table(runs: Sequence[TrackedRun], console: Console, most: int) -> None:
    """The runs in the order given; of more than `most`, a count of the rest; then the reasons."""
    apart = columns(runs)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("#", *map(title, apart), *RESULTS, *parameter_columns(runs)):
        table.add_column(_cell(column), justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    for rank, (run, found) in enumerate(islice(with_parameters(runs), most), start=1):
        results = (number(run, key) for key in RESULTS)
        params = (param(run.params.get(key, "")) for key in apart)
        cells = (str(rank), *params, *results, *found, what_came_of(run))
        table.add_row(*map(_cell, cells), style=_style(run))
    wide = console.options.update(max_width=WIDEST)
    # a narrow terminal wraps lines, and loses no digit
    console.width = max(console.width, console.measure(table, options=wide).maximum)
    console.print(table)
    more = rest(runs[most:], f"shown by {command('compare')} --format csv")
    for line in (*more, *_trusted(runs[:1]), *reasons(runs)):
        console.print(_cell(line), soft_wrap=True, highlight=False)


def _trusted(first: Sequence[TrackedRun]) -> Iterator[str]:
    """What the first run has found, with its uncertainty."""
    for run in first:
        if known := parameters_found(run.params, run.metrics):
            trained = trained_enough(run.metrics, run.outcome == "converged")
            yield f"#1: {known}, {trained}"


def print_calibration(run: TrackedRun, ranges: Ranges | None, unit: str = "") -> None:
    """One run: its calibration beside the best fit's; `ranges` are those of its data, `unit` its target's."""
    if found := run.readable():
        _say(f"calibration  {formula(run.params, found, ranges, run.loss)}")
    label = best_is(run.params).removesuffix(" optimum")
    if found and (best := run.best_fit()):
        _say(f"{label:<12} {formula(run.params, best, ranges, run.metrics.get('best_loss'))}")
    if found and "loss_gap" in run.metrics:
        whose = "the exact" if label == "exact" else "the best fit's"
        _say(f"loss_gap     {run.metrics['loss_gap']:.3g} above {whose} loss {run.metrics['best_loss']:.7g}")
    elif found:
        _say("loss_gap     unknown: the search for the best fit did not settle")
    if known := parameters_found(run.params, run.metrics):
        _say(f"parameters   {known}")
        _say(f"residuals    {quality(run.metrics, unit)}")
    elif found and run.outcome == "converged":
        _say("uncertainty  none: nothing is left of the targets, but rounding, to tell it from")
    if trained := trained_enough(run.metrics, run.outcome == "converged"):
        _say(f"trained      {trained}")
    if "loss_gap" in run.metrics:
        _say(f"stable to    {_stable_to(run)}")
    if "caution" in run.tags:
        _say(f"caution      {run.tags['caution']}")
    why = f": {run.tags['reason']}" if "reason" in run.tags else ""
    _say(f"outcome      {what_came_of(run)}{why}")


def _stable_to(run: TrackedRun) -> str:
    """The learning rate that a run could have had, by the curvature at the best fit."""
    metrics = run.metrics
    if "lr_over_limit" not in metrics:
        return f"unknown: loss={run.params['loss']} has no curvature at the best fit"
    limit = float(run.params["lr"]) / metrics["lr_over_limit"]
    condition = metrics.get("condition_number", math.nan)
    known = f" (condition number {condition:.3g})" if math.isfinite(condition) else ""
    return f"lr {limit_in_digits(limit)}{known}"


def print_model(uri: str, of: str, beside: bool) -> None:
    """Where a model is, in the words that use it, and of what; beside what a program reads, not in it."""
    used = f"({command('predict')} {shlex.quote(uri)} READING …)"
    _say("   ".join(filter(None, [f"model        {uri}", used, of])), sys.stderr if beside else None)


def _print_page(label: str, page: str, how_to_serve: str) -> None:
    serve = f"   (served by: {how_to_serve})" if how_to_serve else ""
    _say(f"{label:<12} {page}{serve}")


def _say(line: str, file: TextIO | None = None) -> None:
    Console(file=file, highlight=False, soft_wrap=True).print(_cell(line))


def _cell(text: str) -> Text:
    """As it stands: a name from a file is neither markup nor an escape code."""
    return Text(printable(text))


def _style(run: TrackedRun) -> str:
    return {"converged": "", "stopped": "yellow"}.get(run.outcome, "red")
