"""What the terminal shows of runs on record: a table of many, the calibration of one."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Literal

from ..fit.rates import limit_in_digits
from ..formula import Ranges, formula
from ..package import command
from ..spelling import best_is
from ..terminal import lines
from ..terminal.streams import print_data
from ..tracking.conformity import REASON
from ..tracking.record import TrackedRun
from ..tracking.trust import held_out, parameters_found, quality, trained_enough
from .comparison import Comparison
from .table import EVERYTHING, as_csv, as_records, what_came_of
from .words import advice

Style = Literal["calibration", "table", "csv", "json"]

MOST_ROWS = 30  # the CSV holds all
MOST_TABLES = 12  # and so many models that a sweep logs, one on each data set
MOST_FILES = 3


def show(comparison: Comparison, addresses: Mapping[str, str], style: Style, most: int = MOST_ROWS) -> None:
    """The runs in their order, and where MLflow shows them, by what that is called."""
    match style:
        case "csv":
            as_csv(comparison.runs, found := StringIO())
            print_data(found.getvalue())
        case "json":
            print(json.dumps(as_records(comparison.runs), indent=2))
        case "table":
            _print_tables(comparison, most)
            _print_pages(addresses, comparison.store.how_to_serve)
        case "calibration":
            print_calibration(comparison.runs[0], comparison.ranges, comparison.unit)
            if comparison.runs[0].outcome in ("stopped", "diverged"):
                for given in advice(comparison)[-1:]:
                    lines.say_to_copy("try next", f"{command('train')} {given}")
            _print_pages(addresses, comparison.store.how_to_serve)


def _print_tables(comparison: Comparison, most: int) -> None:
    """A table for each data set, each under its name where they are several."""
    from .screen_table import print_table  # by rich, which a run on its own need not wait for

    parts = comparison.data_sets
    for part in parts[:MOST_TABLES]:
        if len(parts) > 1:
            lines.say(part.data)
        print_table(part.runs, most)
        if len(parts) > 1:
            print()
    if len(parts) > MOST_TABLES:
        more = f"{len(parts) - MOST_TABLES:,} more data sets"
        lines.say(f"… and {more}, shown by {EVERYTHING}; --model logs their models", whole=EVERYTHING)


def print_read(files: Sequence[str]) -> None:
    """What was read from each file, in a line; of many files a count of the rest."""
    for line in files[:MOST_FILES]:
        _say("data", line)
    if (more := len(files) - MOST_FILES) > 0:
        _say("", f"… and {more:,} more file{'s' * (more > 1)}")


def print_calibration(run: TrackedRun, ranges: Ranges | None, unit: str = "") -> None:
    """One run: its calibration beside the best fit's; `ranges` are those of its data, `unit` its target's."""
    if found := run.readable():
        _say("calibration", formula(run.params, found, ranges, run.loss))
    label = best_is(run.params).removesuffix(" optimum")
    if found and (best := run.best_fit()):
        _say(label, formula(run.params, best, ranges, run.metrics.get("best_loss")))
    if found and "loss_gap" in run.metrics:
        whose = "the exact" if label == "exact" else "the best fit's"
        _say("loss_gap", f"{run.metrics['loss_gap']:.3g} above {whose} loss {run.metrics['best_loss']:.7g}")
    elif found:
        _say("loss_gap", "unknown: no single best fit was found")
    if known := parameters_found(run.params, run.metrics):
        _say("parameters", known)
        _say("residuals", quality(run.metrics, unit))
    elif found and run.outcome == "converged":
        _say("uncertainty", "none: the fit is exact up to rounding, so that its residuals tell nothing")
    if trained := trained_enough(run.metrics, run.outcome == "converged"):
        _say("trained", trained)
    if validated := held_out(run.metrics):
        _say("validation", validated)
    if REASON in run.tags:
        _say("tolerance", run.tags[REASON])
    if "loss_gap" in run.metrics:
        _say("stable to", _stable_to(run))
    if "caution" in run.tags:
        _say("caution", run.tags["caution"])
    why = f": {run.tags['reason']}" if "reason" in run.tags else ""
    _say("outcome", f"{what_came_of(run)}{why}")


def _stable_to(run: TrackedRun) -> str:
    """The learning rate that a run could have had, by the curvature at the best fit."""
    metrics = run.metrics
    if "lr_over_limit" not in metrics:
        return f"unknown: loss={run.params['loss']} has no curvature at the best fit"
    limit = float(run.params["lr"]) / metrics["lr_over_limit"]
    condition = metrics.get("condition_number", math.nan)
    known = f" (condition number {condition:.3g})" if math.isfinite(condition) else ""
    return f"lr {limit_in_digits(limit)}{known}"


def print_model(uri: str, of: str, change: str, beside: bool) -> None:
    """Where a model is, in the words that use it, and of what; beside what a program reads, not in it.

    `change` is what has changed since an earlier version, empty for none.
    """
    file = sys.stderr if beside else None
    used = f"({command('predict')} {shlex.quote(uri)} READING …)"
    lines.say_to_copy("model", uri, used, *filter(None, [of]), file=file)
    if change:
        lines.say(f"{'change':<12} {change}", indent=13, file=file)


def _print_pages(addresses: Mapping[str, str], how_to_serve: str) -> None:
    served = [f"(served by: {how_to_serve})"] if how_to_serve else []
    for label, address in addresses.items():
        lines.say_to_copy(label, address, *served)
        served = []


def _say(label: str, text: str) -> None:
    lines.say(f"{label:<12} {text}", indent=13)
