"""Tables from what the reader returns: as a frame, as records, as a page of HTML, and their cells."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from string import Template

import pandas as pd

from ..spelling import parameters
from ..tracking.ranks import places
from ..tracking.record import DATA_DIGEST, TrackedRun
from .differences import columns

MOST_HTML_ROWS = 1000
RESULTS = ("loss", "loss_gap")
TRUST = ("lr_over_limit", "training_error", "residual_sd", "r2", "aicc", "loo_rmse")
TEXTS = ("outcome", "reason", "run id")
PAGE = Path(__file__).with_name("table.html")


def as_frame(runs: Sequence[TrackedRun]) -> pd.DataFrame:
    """A row for each run in the order given, with its rank on its data set and every param and metric.

    Text that a spreadsheet would take for a formula has an apostrophe in front.
    """
    frame = pd.DataFrame(
        [
            {"rank": rank, "run_id": run.run_id, "name": run.name}
            | {
                "outcome": run.outcome,
                **{title(key): text for key, text in run.params.items()},
                **run.metrics,
            }
            | {"reason": run.tags.get("reason", ""), DATA_DIGEST: run.data_digest}
            for rank, run in places(runs)
        ]
    )
    return frame.map(_harmless)


def _harmless(cell: object) -> object:
    if not isinstance(cell, str) or not cell.startswith(("=", "+", "-", "@")):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def as_records(runs: Sequence[TrackedRun]) -> list[dict[str, object]]:
    """Every run in the order given, for JSON: params as they were recorded, metrics as numbers."""
    return [
        {"rank": rank, "run_id": run.run_id, "name": run.name, "status": run.status, "outcome": run.outcome}
        | {"params": run.params, "metrics": run.metrics, "reason": run.tags.get("reason")}
        | {DATA_DIGEST: run.data_digest}
        for rank, run in places(runs)
    ]


def as_html(tables: Mapping[str, Sequence[TrackedRun]], heading: str) -> str:
    """A page of its own, with a table under each title: of its first thousand runs, what tells them apart."""
    return Template(PAGE.read_text("utf-8")).substitute(
        title=html.escape(heading),
        tables="\n".join(_table(runs, title) for title, runs in tables.items()),
    )


def _table(runs: Sequence[TrackedRun], heading: str) -> str:
    apart = columns(runs)
    header = ["#", *map(title, apart), *RESULTS, *parameter_columns(runs), *TRUST, *TEXTS]
    rows = []
    for rank, (run, found) in enumerate(islice(with_parameters(runs), MOST_HTML_ROWS), start=1):
        params = (param(run.params.get(key, "")) for key in apart)
        results = (number(run, key) for key in RESULTS)
        texts = (what_came_of(run), run.tags.get("reason", ""), run.run_id)
        trust = (number(run, key) for key in TRUST)
        cells = [str(rank), *params, *results, *found, *trust, *texts]
        rows.append(f'<tr class="{html.escape(run.outcome)}">{_cells("td", header, cells)}</tr>')
    return "\n".join(
        [
            *([f"<h2>{html.escape(heading)}</h2>"] if heading else []),
            f"<table>\n<thead><tr>{_cells('th', header, header)}</tr></thead>\n<tbody>",
            *rows,
            "</tbody>\n</table>",
            *(f"<p>{html.escape(line)}</p>" for line in rest(runs[MOST_HTML_ROWS:], "in runs.csv")),
        ]
    )


def _cells(tag: str, header: Sequence[str], cells: Sequence[str]) -> str:
    kinds = ("text" if name in TEXTS else "number" for name in header)
    return "".join(
        f'<{tag} class="{kind}">{html.escape(cell)}</{tag}>' for kind, cell in zip(kinds, cells, strict=True)
    )


def parameter_columns(runs: Sequence[TrackedRun]) -> list[str]:
    """The metrics of the models' parameters, each model's as it takes them, the constant last."""
    found = dict.fromkeys(name for names in _parameters(runs).values() for name in names)
    return sorted(found, key=lambda name: name == "b")


def with_parameters(runs: Sequence[TrackedRun]) -> Iterator[tuple[TrackedRun, list[str]]]:
    """Each run with its cells in these columns, empty in those of other models."""
    names, of_model = parameter_columns(runs), _parameters(runs)
    for run in runs:
        own = of_model[run.params.get("model", "")]
        yield run, [number(run, name) if name in own else "" for name in names]


def _parameters(runs: Sequence[TrackedRun]) -> dict[str, list[str]]:
    """By model its parameters' metrics: in raw input units where all its runs have them, else as trained."""
    found = {}
    for model in dict.fromkeys(run.params.get("model", "") for run in runs):
        of_model = [run for run in runs if run.params.get("model", "") == model]
        names = parameters(of_model[0].params)
        usable = [run for run in of_model if any(f"trained_{name}" in run.metrics for name in names)]
        is_raw = all(name in run.metrics for run in usable for name in names)
        found[model] = [name if is_raw else f"trained_{name}" for name in names]
    return found


def title(param: str) -> str:
    """A param's column: `loss` is a metric's."""
    return "loss_fn" if param == "loss" else param


def param(text: str) -> str:
    """A param in a cell."""
    try:
        return f"{float(text):g}" if "." in text else text
    except ValueError:
        return text


def number(run: TrackedRun, key: str) -> str:
    """A diverged run's last loss is no result: what counts is when it left and why."""
    value = run.loss if key == "loss" else run.metrics.get(key)
    return "" if value is None or run.outcome == "diverged" else f"{value:.6g}"


def what_came_of(run: TrackedRun) -> str:
    """The outcome, and the epoch of one that diverged."""
    at = f" at epoch {run.metrics['diverged_at']:.0f}" if "diverged_at" in run.metrics else ""
    return f"{run.outcome}{at}"


def rest(runs: Sequence[TrackedRun], where: str) -> Iterator[str]:
    """A line on runs that are not shown, if there are any: how many, of which outcome, and where they are."""
    if runs:
        counts = Counter(run.outcome for run in runs)
        parts = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items())
        yield f"… and {len(runs):,} more, {where}: {parts}"
