"""A comparison's files: the ranked table, the figures, and what they say in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from ..config import ConfigError
from ..data import load
from ..fit.graph import trace
from ..fit.plan import Bench, Run
from ..tracking import reader
from ..tracking.record import TrackedRun, dataset_record, settings_of
from ..tracking.store import Store
from . import figures, table, words

MOST_CURVES = 300  # more would not be seen, and take long to read from a server
DPI = 130


def write(folder: Path, title: str, runs: Sequence[TrackedRun], store: Store) -> None:
    """Write a page on runs that are ranked into an existing folder.

    The figures that need the data are left out where its file is gone or has changed since, and the
    words, `note.md`, say so.
    """
    table.as_frame(runs).to_csv(folder / "runs.csv", index=False)
    (folder / "runs.html").write_text(table.as_html(runs, title), "utf-8")
    try:
        best, missing = (again(runs[0], store) if runs else None), ""
    except ConfigError as error:
        best, missing = None, f"\nNot drawn: fits and graph; {error}.\n"
    (folder / "note.md").write_text(words.sweep_note(runs, best) + missing, "utf-8")
    for name, figure in _figures(runs, store, best):
        figure.savefig(folder / f"{name}.png", dpi=DPI)
    if best:
        write_graph(folder, best)


def again(run: TrackedRun, store: Store) -> Run:
    """A tracked run made ready to train again; raises ConfigError where its data is gone or another."""
    dataset = reader.dataset(store, run.run_id)
    ready = Bench(load).prepare(settings_of(run, dataset))
    if dataset_record(ready.problem.pairs).digest != dataset.digest:
        raise ConfigError(f"{run.params['data']} has changed since run {run.run_id} was trained on it")
    return ready


def write_graph(folder: Path, run: Run) -> None:
    """The graph of a run's first forward and backward pass, as `graph.png`."""
    settings, problem = run.settings, run.problem
    graph = trace(problem.model, run.input.t_un, problem.t_c, settings.model.start)
    figures.autograd_graph(graph).savefig(folder / "graph.png", dpi=DPI)


def _figures(runs: Sequence[TrackedRun], store: Store, best: Run | None) -> Iterator[tuple[str, Figure]]:
    if not runs:
        return
    unit = best.settings.data.target_unit if best else ""
    ids = [run.run_id for run in figures.sample(runs, MOST_CURVES)]
    yield "loss_curves", figures.loss_curves(runs, reader.curves(store, ids), unit)
    yield "loss_gap", figures.loss_gap_map(runs, unit)
    if best:
        yield "fits", figures.fits([run for run in runs if _problem(run) == _problem(runs[0])], best.problem)


def _problem(run: TrackedRun) -> list[str | None]:
    return [run.params.get(key) for key in ("data", "data_input", "data_target", "model")]
