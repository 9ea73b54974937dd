"""The one way to end: a run, a sweep and `compare` show their runs, keep a model and write a page by it."""

from __future__ import annotations

from collections.abc import Callable

from ..tracking import model as models
from ..tracking import view
from ..tracking.record import TrackedRun
from . import screen
from .comparison import Comparison
from .differences import columns
from .table import parameter_columns


def publish(
    comparison: Comparison,
    address: str,
    *,
    style: screen.Style = "table",
    most: int = screen.MOST_ROWS,
    model: TrackedRun | None = None,
    register: str | None = None,
    write_page: Callable[[Comparison], None] | None = None,
) -> None:
    """Show the runs and the address of their page in MLflow; then what else is wanted.

    `model` is the run whose model is logged, registered where there is a name to `register` it under;
    `write_page` writes table, words and figures of the ranked runs.
    """
    screen.show(comparison, address, style, most)
    if model:
        logged = models.log(comparison.store, model, register)
        screen.print_model(logged.uri, beside=style in ("csv", "json"))
    elif register:
        print(f"model        none: no run has a calibration, so nothing is registered as {register}")
    if write_page:
        write_page(comparison.best_first)


def open_view(comparison: Comparison, sweep: str) -> str:
    """The address at which MLflow's page shows a sweep, ready to read; the view is put on record."""
    runs = comparison.runs
    losses = [losses for _, losses in comparison.curves(runs[: view.MOST_CHARTED]).values()]
    return view.publish(comparison.store, sweep, parameter_columns(runs), losses, columns(runs))
