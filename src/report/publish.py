"""The one way to end: a run, a sweep and `compare` show their runs, keep a model and write a page by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter

from hydra_plugins.batch_launcher import step

from ..tracking import model, ranks, view
from ..tracking.record import CHANGE, TrackedRun
from . import screen
from .change import since
from .comparison import Comparison

TABLE = "Table and loss curves in MLflow (F5 loses its columns: come back here)"


def publish(
    comparison: Comparison,
    addresses: Mapping[str, str],
    *,
    style: screen.Style = "table",
    most: int = screen.MOST_ROWS,
    models: Sequence[TrackedRun] = (),
    register: str | None = None,
    write_page: Callable[[Comparison, Mapping[str, str]], None] | None = None,
) -> dict[str, str]:
    """Show the runs and where MLflow shows them; then what else is wanted.

    `addresses` are by what they are called; `models` the runs whose models are logged, one on each data set,
    registered where there is a name to `register` it under; `write_page` writes table, words and figures.
    Returns the links of such a page, by what they are called.
    """
    screen.show(comparison, addresses, style, most)
    links = {TABLE: addresses["table"]} if "table" in addresses else {}
    changes: dict[str, str] = {}
    for run in models:
        with step("keeping the model", jobs=0):
            changed = since(comparison.store, run, register) if register else ""
            logged = model.log(comparison.store, run, register, changed)
        links[f"Model of {run.name}, {logged.uri}"] = logged.page(comparison.store)
        of = f"of {replace(comparison, runs=[run]).data}" if len(comparison.data_sets) > 1 else ""
        screen.print_model(logged.uri, of, changed, beside=style in ("csv", "json"))
        changes |= {run.run_id: changed} if changed else {}
    if register and not models:
        print(f"model        none: no run has a calibration, so nothing is registered as {register}")
    if write_page:
        write_page(_with(comparison, changes), links)
    return links


def _with(comparison: Comparison, changes: Mapping[str, str]) -> Comparison:
    """The same, with what has been put on record of some runs since they were read."""
    runs = [
        replace(run, tags=run.tags | {CHANGE: changes[run.run_id]}) if run.run_id in changes else run
        for run in comparison.runs
    ]
    return replace(comparison, runs=runs)


def open_view(comparison: Comparison, sweep: str) -> str:
    """The address at which MLflow's page shows a sweep in its order; its ranks and the view go on record."""
    runs = comparison.runs
    ranks.record(comparison.store, runs)
    charted = [run for _, run in sorted(ranks.places(runs), key=itemgetter(0))[: view.MOST_CHARTED]]
    losses = [losses for _, losses in comparison.curves(charted).values()]
    return view.publish(comparison.store, sweep, losses)
