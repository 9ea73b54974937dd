"""Tables from what the reader returns."""

from __future__ import annotations

import html
import math
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console
from rich.table import Table

from ..config import ConfigError
from ..models import MODELS, formula
from ..models import parameter_names as names_of
from ..tracking.record import TrackedRun
from .differences import told_apart

if TYPE_CHECKING:  # who only reads the record need not wait for torch
    from ..fit.plan import Calibration

Ranked = tuple[int, TrackedRun]

MOST_ROWS = 30  # on the screen; the CSV holds all
MOST_HTML_ROWS = 1000
MOST_REASONS = 8
WIDEST = 1000
ALWAYS = ("lr", "normalization", "epochs")  # params shown even where all runs share them
TEXTS = ("outcome", "reason", "run id")
PAGE = Path(__file__).with_name("table.html")


def ranked(runs: Sequence[TrackedRun], by: str = "loss_gap", descending: bool = False) -> list[TrackedRun]:
    """Best first by a metric or param, of equals by `loss_gap`; then those without it, by learning rate.

    Raises ConfigError for a key that no run has.
    """
    known = dict.fromkeys(key for run in runs for key in (*run.metrics, *run.params))
    if runs and by not in {**known, "loss_gap": None}:
        raise ConfigError(f"--sort {by}: no run has that; give one of {', '.join(known)}")

    def key(run: TrackedRun) -> tuple[float, float, str]:
        return run.metrics.get("loss_gap", math.inf), _lr(run), run.name

    found = sorted(runs, key=key)
    there = [run for run in found if _sortable(run, by) is not None]
    there.sort(key=lambda run: _sortable(run, by) or (0.0, ""), reverse=descending)
    return there + [run for run in found if _sortable(run, by) is None]


def _sortable(run: TrackedRun, by: str) -> tuple[float, str] | None:
    """A metric or param as a number, or else the text of one that is none; None where there is nothing."""
    value = run.metrics.get(by, run.params.get(by))
    if value is None or (by == "loss" and run.outcome == "diverged"):
        return None
    try:
        return float(value), ""
    except ValueError:
        return math.inf, str(value)


def _lr(run: TrackedRun) -> float:
    try:
        return float(run.params.get("lr", "inf"))
    except ValueError:  # of another program's run
        return math.inf


def as_frame(runs: Sequence[TrackedRun]) -> pd.DataFrame:
    """A row for each run in the order given, with every param and metric."""
    return pd.DataFrame(
        [
            {"rank": rank, "run_id": run.run_id, "name": run.name}
            | {"outcome": run.outcome, **run.params, **run.metrics}
            | {"reason": run.tags.get("reason", "")}
            for rank, run in enumerate(runs, start=1)
        ]
    )


def as_records(runs: Sequence[TrackedRun]) -> list[dict[str, object]]:
    """Every run in the order given, for JSON: params as they were recorded, metrics as numbers."""
    return [
        {"rank": rank, "run_id": run.run_id, "name": run.name, "status": run.status, "outcome": run.outcome}
        | {"params": run.params, "metrics": run.metrics, "reason": run.tags.get("reason")}
        for rank, run in enumerate(runs, start=1)
    ]


def as_html(runs: Sequence[TrackedRun], title: str) -> str:
    """A page of its own: what tells the first thousand runs apart, and what came of them."""
    apart, numbers = columns(runs), ("loss", "loss_gap", *parameter_names(runs), "lr_over_limit")
    header = ["#", *apart, *numbers, *TEXTS]
    rows = []
    for rank, run in enumerate(runs[:MOST_HTML_ROWS], start=1):
        params = (_param(run.params.get(key, "")) for key in apart)
        texts = (_what_came_of(run), run.tags.get("reason", ""), run.run_id)
        cells = [str(rank), *params, *(_number(run, key) for key in numbers), *texts]
        rows.append(f'<tr class="{html.escape(run.outcome)}">{_cells("td", header, cells)}</tr>')
    return Template(PAGE.read_text("utf-8")).substitute(
        title=html.escape(title),
        header=f"<tr>{_cells('th', header, header)}</tr>",
        rows="\n".join(rows),
        rest="".join(f"<p>{html.escape(line)}</p>" for line in _rest(runs[MOST_HTML_ROWS:], "runs.csv")),
    )


def _cells(tag: str, header: Sequence[str], cells: Sequence[str]) -> str:
    kinds = ("text" if name in TEXTS else "number" for name in header)
    return "".join(
        f'<{tag} class="{kind}">{html.escape(cell)}</{tag}>' for kind, cell in zip(kinds, cells, strict=True)
    )


def print_table(runs: Sequence[TrackedRun], console: Console, most: int) -> None:
    """The runs in the order given; of more than `most`, a count of the rest; then the reasons."""
    names = parameter_names(runs)
    apart = columns(runs)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("#", *apart, "loss", "loss_gap", *names):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    for rank, run in enumerate(runs[:most], start=1):
        numbers = (_number(run, key) for key in ("loss", "loss_gap", *names))
        params = (_param(run.params.get(key, "")) for key in apart)
        table.add_row(str(rank), *params, *numbers, _what_came_of(run), style=_style(run))
    wide = console.options.update(max_width=WIDEST)
    # a narrow terminal wraps lines, and loses no digit
    console.width = max(console.width, console.measure(table, options=wide).maximum)
    console.print(table)
    for line in (*_rest(runs[most:], "python -m src.compare --format csv"), *reasons(runs)):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def print_comparison(runs: Sequence[TrackedRun], page: str, how_to_serve: str, most: int = MOST_ROWS) -> None:
    """The runs in the order given, and where to look at them."""
    console = Console()
    print_table(runs, console, most)
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


def print_model(uri: str) -> None:
    """Where a model is, in the words that use it."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(f"model        {uri}   (python -m src.predict {shlex.quote(uri)} READING …)")


def _print_page(label: str, page: str, how_to_serve: str, console: Console) -> None:
    serve = f"   (served by: {how_to_serve})" if how_to_serve else ""
    console.print(f"{label:<12} {page}{serve}", soft_wrap=True, highlight=False, markup=False)


def parameter_names(runs: Sequence[TrackedRun]) -> list[str]:
    """The parameters of the runs' models, each model's as it takes them, the constant last."""
    models = dict.fromkeys(run.params.get("model", "") for run in runs)
    names = dict.fromkeys(name for model in models if model in MODELS for name in names_of(MODELS[model]))
    return sorted(names, key=lambda name: name == "b")


def columns(runs: Sequence[TrackedRun]) -> list[str]:
    """The params that tell the runs apart, and those that are always worth a column."""
    apart = {*ALWAYS, *told_apart(runs)}
    return [key for key in dict.fromkeys(key for run in runs for key in run.params) if key in apart]


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


def _rest(runs: Sequence[TrackedRun], where: str) -> Iterator[str]:
    if runs:
        counts = Counter(run.outcome for run in runs)
        parts = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items())
        yield f"… and {len(runs):,} more, all in {where}: {parts}"


def reasons(runs: Sequence[TrackedRun]) -> Iterator[str]:
    """Each reason once, with the ranks it holds for; many that differ by the learning rate as one."""
    found: dict[str, list[Ranked]] = defaultdict(list)
    for rank, run in enumerate(runs, start=1):
        if "reason" in run.tags:
            found[run.tags["reason"]].append((rank, run))
    if len(found) > MOST_REASONS:
        found = _joined(found)
    for reason, members in found.items():
        ranks = [str(rank) for rank, _ in members]
        which = ", ".join(ranks) if len(ranks) <= 4 else f"{ranks[0]} and {len(ranks) - 1:,} more"
        yield f"#{which}: {reason}"


def _joined(found: dict[str, list[Ranked]]) -> dict[str, list[Ranked]]:
    """One reason for all learning rates beyond the limit of one input, or below it."""
    groups: dict[tuple[str, str], list[Ranked]] = defaultdict(list)
    for reason, members in found.items():
        lr, ratio = _lr(members[0][1]), members[0][1].metrics["lr_over_limit"]
        groups[f"{lr / ratio:.2g}" if ratio > 1 else "", reason.partition(": ")[2]] += members
    return {
        f"{_beyond(limit, [run for _, run in members])}: {advice}": sorted(members, key=lambda each: each[0])
        for (limit, advice), members in groups.items()
    }


def _beyond(limit: str, runs: Sequence[TrackedRun]) -> str:
    rates = f"{min(map(_lr, runs)):g} to {max(map(_lr, runs)):g}"
    if not limit:
        return f"the loss left the range of the dtype, though lr {rates} is under the limit"
    ratios = [run.metrics["lr_over_limit"] for run in runs]
    return f"lr {rates} is {min(ratios):.2g} to {max(ratios):.3g} times the limit {limit} of this input"
