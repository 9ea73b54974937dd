"""Tables from what the reader returns."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table

from src.calibration import Calibration
from src.models import formula
from src.tracking.record import TrackedRun

MOST_ROWS = 30  # on the screen; the CSV holds all
MOST_REASONS = 8
WIDEST = 140
ALWAYS = ("lr", "normalization", "epochs")  # params shown even where all runs share them
DERIVED = ("normalization_shift", "normalization_scale")  # params that follow from the others


def ranked(runs: Sequence[TrackedRun]) -> list[TrackedRun]:
    """Best first by `loss_gap`; then those without one, diverged and crashed, by learning rate."""

    def key(run: TrackedRun) -> tuple[float, float, str]:
        lr = float(run.params.get("lr", "inf"))
        return run.metrics.get("loss_gap", math.inf), lr, run.name

    return sorted(runs, key=key)


def as_csv(runs: Sequence[TrackedRun]) -> str:
    """Every run with every param and metric, in the order given."""
    rows = [
        {"rank": rank, "run_id": run.run_id, "name": run.name}
        | {"outcome": run.outcome, **run.params, **run.metrics}
        | {"reason": run.tags.get("reason", "")}
        for rank, run in enumerate(runs, start=1)
    ]
    return pd.DataFrame(rows).to_csv(index=False)


def print_table(runs: Sequence[TrackedRun], console: Console) -> None:
    """The runs in the order given; of many, the first and a count of the rest; then the reasons."""
    names = parameter_names(runs)
    told_apart = _told_apart(runs)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("#", *told_apart, "loss", "loss_gap", *names):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    for rank, run in enumerate(runs[:MOST_ROWS], start=1):
        numbers = (_number(run, key) for key in ("loss", "loss_gap", *names))
        params = (_param(run.params.get(key, "")) for key in told_apart)
        table.add_row(str(rank), *params, *numbers, _what_came_of(run), style=_style(run))
    console.print(table)
    for line in (*_rest(runs[MOST_ROWS:]), *_reasons(runs)):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def print_sweep(runs: Sequence[TrackedRun], page: str, how_to_serve: str) -> None:
    """What a sweep ends with: its runs best first, and where to compare them."""
    console = Console()
    console.width = max(console.width, WIDEST)  # a narrow terminal wraps lines, and loses no digit
    print_table(runs, console)
    _print_page("compare", page, how_to_serve, console)


def print_calibration(calibration: Calibration, page: str, how_to_serve: str) -> None:
    """What a single run ends with: the calibration in raw units beside the exact optimum."""
    run, console = calibration.run, Console(highlight=False, soft_wrap=True, markup=False)
    data, optimum = run.settings.data, run.problem.optimum
    if calibration.raw:
        fitted = formula(list(calibration.raw.values()), data.input)
        console.print(f"calibration  {data.target} = {fitted}")
        console.print(f"exact        {data.target} = {formula(optimum.params.tolist(), data.input)}")
        console.print(f"loss_gap     {calibration.loss_gap:.3g} above the exact loss {optimum.loss:.7g}")
    at = f" at epoch {calibration.diverged_at}" if calibration.diverged_at else ""
    why = f": {calibration.reason}" if calibration.reason else ""
    console.print(f"outcome      {calibration.outcome}{at}{why}")
    _print_page("on record", page, how_to_serve, console)


def _print_page(label: str, page: str, how_to_serve: str, console: Console) -> None:
    serve = f"   (served by: {how_to_serve})" if how_to_serve else ""
    console.print(f"{label:<12} {page}{serve}", soft_wrap=True, highlight=False, markup=False)


def parameter_names(runs: Sequence[TrackedRun]) -> list[str]:
    """The models' parameters, known by being on record both raw and as trained."""
    names = {
        key.removeprefix("trained_"): None
        for run in runs
        for key in run.metrics
        if key.startswith("trained_")
    }
    return sorted(names, key=lambda name: (name == "b", name))  # the constant last, as in the models


def _told_apart(runs: Sequence[TrackedRun]) -> list[str]:
    keys = dict.fromkeys(key for run in runs for key in run.params if key not in DERIVED)
    return [key for key in keys if key in ALWAYS or len({run.params.get(key) for run in runs}) > 1]


def _param(text: str) -> str:
    try:
        return f"{float(text):g}" if "." in text else text
    except ValueError:
        return text


def _number(run: TrackedRun, key: str) -> str:
    """A diverged run's last loss is no result: what counts is when it left and why."""
    value = run.metrics.get(key)
    return "" if value is None or run.outcome == "diverged" else f"{value:.6g}"


def _style(run: TrackedRun) -> str:
    return {"converged": "", "stopped": "yellow"}.get(run.outcome, "red")


def _what_came_of(run: TrackedRun) -> str:
    at = f" at epoch {run.metrics['diverged_at']:.0f}" if "diverged_at" in run.metrics else ""
    return f"{run.outcome}{at}"


def _rest(runs: Sequence[TrackedRun]) -> Iterator[str]:
    if runs:
        counts = Counter(run.outcome for run in runs)
        parts = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        yield f"… and {len(runs)} more in runs.csv of the sweep's page: {parts}"


def _reasons(runs: Sequence[TrackedRun]) -> Iterator[str]:
    """Each reason once, with the runs it holds for; of many reasons, those of the first runs."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for rank, run in enumerate(runs, start=1):
        if "reason" in run.tags:
            reasons[run.tags["reason"]].append(str(rank))
    for reason, ranks in list(reasons.items())[:MOST_REASONS]:
        which = ", ".join(ranks) if len(ranks) <= 4 else f"{ranks[0]} and {len(ranks) - 1} more"
        yield f"#{which}: {reason}"
    if len(reasons) > MOST_REASONS:
        yield f"… and {len(reasons) - MOST_REASONS} more reasons, each on its run's page"
