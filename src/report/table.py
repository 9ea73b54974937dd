"""Tables from what the reader returns: as CSV, as records, and their cells."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TextIO

from ..package import command
from ..spelling import parameters
from ..tracking.conformity import CONFORMITY
from ..tracking.ranks import places
from ..tracking.record import DATA_DIGEST, TrackedRun
from .differences import keys

EVERYTHING = f"{command('compare')} --format csv"
RESULTS = ("loss", "loss_gap")
OF_SETTINGS = ("lr_over_limit",)  # whatever came of them
TRUST = ("lr_over_limit", "training_error", "residual_sd", "r2", "aicc", "loo_rmse")


def as_csv(runs: Sequence[TrackedRun], file: TextIO) -> None:
    """A row for each run in the order given, with its rank on its data set and every param and metric.

    Text that a spreadsheet would take for a formula has an apostrophe in front.
    """
    params, metrics = keys(run.params for run in runs), keys(run.metrics for run in runs)
    verdict = [CONFORMITY] if any(conformities(runs)) else []
    titles = [*map(title, params), *metrics, *verdict]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["rank", "run_id", "name", "outcome", *titles, "reason", DATA_DIGEST])
    for rank, run in places(runs):
        texts = [run.run_id, run.name, run.outcome, *(run.params.get(key, "") for key in params)]
        numbers = [run.metrics.get(key) for key in metrics]
        said = [*(run.tags.get(key, "") for key in (*verdict, "reason")), run.data_digest]
        writer.writerow([rank, *map(_harmless, texts), *numbers, *map(_harmless, said)])


@lru_cache(maxsize=1024)
def _harmless(text: str) -> str:
    if not text.startswith(("=", "+", "-", "@")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def as_records(runs: Sequence[TrackedRun]) -> list[dict[str, object]]:
    """Every run in the order given, for JSON: params as they were recorded, metrics as numbers."""
    return [
        {"rank": rank, "run_id": run.run_id, "name": run.name, "status": run.status, "outcome": run.outcome}
        | {"params": run.params, "metrics": run.metrics, "reason": run.tags.get("reason")}
        | {DATA_DIGEST: run.data_digest, **_conformity(run)}
        for rank, run in places(runs)
    ]


def parameter_columns(runs: Sequence[TrackedRun]) -> list[str]:
    """The metrics of the models' parameters, each model's as it takes them, the constant last."""
    found = dict.fromkeys(name for names in parameters_by_model(runs).values() for name in names)
    return sorted(found, key=lambda name: name == "b")


def with_parameters(runs: Sequence[TrackedRun]) -> Iterator[tuple[TrackedRun, list[str]]]:
    """Each run with its cells in these columns, empty in those of other models."""
    names, of_model = parameter_columns(runs), parameters_by_model(runs)
    for run in runs:
        own = of_model[run.params.get("model", "")]
        yield run, [number(run, name) if name in own else "" for name in names]


def parameters_by_model(runs: Sequence[TrackedRun]) -> dict[str, list[str]]:
    """By model its parameters' metrics: in raw input units where all its runs have them, else as trained."""
    # most runs have the same metrics
    shapes: dict[str, dict[tuple[str, ...], TrackedRun]] = defaultdict(dict)
    for run in runs:
        shapes[run.params.get("model", "")].setdefault(tuple(run.metrics), run)
    found = {}
    for model, shape in shapes.items():
        names = parameters(next(iter(shape.values())).params)
        usable = [metrics for metrics in shape if any(f"trained_{name}" in metrics for name in names)]
        is_raw = all(name in metrics for metrics in usable for name in names)
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


def value(run: TrackedRun, key: str) -> float | None:
    """A metric; a diverged run's last loss is no result: what counts is when it left and why."""
    if run.outcome == "diverged" and key not in OF_SETTINGS:
        return None
    return run.loss if key == "loss" else run.metrics.get(key)


def number(run: TrackedRun, key: str) -> str:
    """A metric in a cell, in the digits that a person reads."""
    found = value(run, key)
    return "" if found is None else f"{found:.6g}"


def what_came_of(run: TrackedRun) -> str:
    """The outcome, and the epoch of one that diverged."""
    at = f" at epoch {run.metrics['diverged_at']:.0f}" if "diverged_at" in run.metrics else ""
    return f"{run.outcome}{at}"


def _conformity(run: TrackedRun) -> dict[str, str]:
    return {CONFORMITY: run.tags[CONFORMITY]} if CONFORMITY in run.tags else {}


def conformities(runs: Sequence[TrackedRun]) -> list[str]:
    """Whether each keeps the tolerance that it was given; empty for one that was given none."""
    return [run.tags.get(CONFORMITY, "") for run in runs]


def rest(runs: Sequence[TrackedRun], where: str) -> Iterator[str]:
    """A line on runs that are not shown, if there are any: how many, of which outcome, and where they are."""
    if runs:
        counts = Counter(run.outcome for run in runs)
        parts = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items())
        yield f"… and {len(runs):,} more, {where}: {parts}"
