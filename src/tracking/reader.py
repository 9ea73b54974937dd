"""Read tracked runs back, as plain data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from ..config import ConfigError, one_line
from ..package import NAME, command
from . import bulk, view
from .dataset import DatasetRecord, DataSummary
from .filter import known, passing
from .patience import away
from .record import JOB, RANK, TrackedRun, job_id
from .selection import Selection
from .store import BY_GAP, Store
from .sweep import PAGE, Parent, parents_of

PAGE_SIZE = 1000
MOST_NAMED = 100  # runs in an address, which has 5 KB then


def runs(store: Store, selection: Selection) -> list[TrackedRun]:
    """The selected runs, in no order; parents of sweeps, which repeat their best, are none.

    Of a sweep's or an experiment's the tags `OF_ONE` may be missing: `get` has them.
    Raises ConfigError for a filter that cannot be read, or names what no run has.
    """
    if bulk.knows(store) and not selection.filter_for_mlflow:
        found = bulk.read(store, selection)
    else:
        found = runs_by_client(store, selection)
    return passing([run for run in found if run.params and not run.is_parent], selection.conditions)


def runs_by_client(store: Store, selection: Selection) -> list[TrackedRun]:
    """The same through MLflow's public API: any store, a second per thousand runs."""
    try:
        return _found(store, selection.as_filter())
    except MlflowException as error:
        if not selection.filter_for_mlflow or away(error):
            raise
        names = ", ".join(known(runs(store, replace(selection, filter=""))))
        raise ConfigError(
            f"the filter {selection.filter!r} cannot be read: {one_line(error)[:300]}; write it as in "
            f"\"lr < 0.01 and normalization = 'zscore'\", or as in MLflow's search; there are {names}"
        ) from error


def _found(store: Store, condition: str) -> list[TrackedRun]:
    """What passes a condition in MLflow's search syntax, page by page."""
    found: list[TrackedRun] = []
    token = None
    while True:
        page = store.client.search_runs(
            store.experiment_ids, filter_string=condition, max_results=PAGE_SIZE, page_token=token
        )
        found += map(_tracked, page)
        token = page.token
        if not token:
            return found


def of_jobs(store: Store, sweep: str, jobs: Sequence[int]) -> list[TrackedRun]:
    """What is on record of some of a sweep's jobs, in no order; their numbers lie close together."""
    if bulk.knows(store):
        return bulk.read(store, Selection(run_ids=tuple(job_id(sweep, job) for job in jobs)))
    of_sweep = Selection(sweep=sweep).as_filter()
    found: list[TrackedRun] = []
    for like in _numbers_like(min(jobs), max(jobs)):
        found += _found(store, f"{of_sweep} and tags.{JOB} LIKE '{like}'")
    wanted = set(map(str, jobs))
    return [run for run in found if run.tags[JOB] in wanted]


def _numbers_like(first: int, last: int) -> Iterator[str]:
    """A dozen patterns that all these whole numbers have, and no more than twice as many others.

    MLflow's search knows neither OR nor how texts are ordered.

    >>> list(_numbers_like(4000, 5999))
    ['4___', '5___']
    >>> list(_numbers_like(0, 24))
    ['_', '1_', '2_']
    """
    free = len(str(last - first + 1)) - 1  # digits at the end, whatever they are
    for start in range(first // 10**free, last // 10**free + 1):
        if start or not free:
            yield f"{start}{'_' * free}"
        else:
            yield from ("_" * digits for digits in range(1, free + 1))


def latest_sweep(store: Store) -> str | None:
    """The name of the sweep that was begun last; None where there is none."""
    page = store.client.search_runs(
        store.experiment_ids,
        filter_string="tags.sweep LIKE 'sweep-%'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return str(page[0].data.tags["sweep"]) if page else None


def named(store: Store, names: Sequence[str], filter: str = "") -> Selection:
    """The runs that are meant by a sweep's name, by its parent's id, or by ids of runs.

    Raises ConfigError for a name that is not on record.
    """
    [first, *others] = names
    if odd := [name for name in names if not re.fullmatch(r"[\w.-]+", name)]:
        raise ConfigError(f"there is no sweep or run {', '.join(map(repr, odd))}")
    if others:
        return Selection(run_ids=tuple(names), filter=filter)
    if first.startswith("sweep-"):
        latest = latest_sweep(store)
        if first != latest and not runs(store, Selection(sweep=first)):
            hint = f"; the latest is {latest}" if latest else ""
            raise ConfigError(f"there is no sweep {first}{hint}")
        return Selection(sweep=first, filter=filter)
    tags = get(store, first).tags
    if "sweep" in tags and "mlflow.parentRunId" not in tags:
        return Selection(sweep=tags["sweep"], filter=filter)
    return Selection(run_ids=(first,), filter=filter)


def get(store: Store, run_id: str) -> TrackedRun:
    """One run; raises ConfigError where there is none of that id, or it was deleted."""
    try:
        found = store.client.get_run(run_id)
    except MlflowException as error:
        raise ConfigError(f"there is no run {run_id}: {command('compare')} lists those there are") from error
    if found.info.lifecycle_stage == "deleted":
        raise ConfigError(f"run {run_id} was deleted: mlflow runs restore --run-id {run_id} brings it back")
    return _tracked(found)


def addresses(store: Store, selection: Selection, runs: Sequence[TrackedRun]) -> dict[str, str]:
    """Where MLflow shows the `runs` of a selection, by what it is called.

    They are of the experiment that the first is in. Runs that passed conditions that MLflow does not know are
    named one by one; of more than can be, the table holds others as well.
    """
    here = replace(store, experiment_id=runs[0].experiment_id)
    parents = parents_of(here, selection.sweep) if selection.sweep else []
    page = {"page": _page(parents[0])} if parents else {}
    if selection.sweep and not selection.filter:
        return page | {"table": view.address(here, selection.sweep)}
    if len(selection.run_ids) == 1:
        return {"on record": here.run_page(runs[0].run_id)}
    if selection.conditions and len(runs) <= MOST_NAMED:
        selection = Selection(run_ids=tuple(run.run_id for run in runs))
    condition = selection.as_filter()
    return page | {"table": here.runs_page(({"searchFilter": condition} if condition else {}) | BY_GAP)}


def _page(parent: Parent) -> str:
    """Of an older sweep, and of one that has not ended, the page of its parent."""
    files = parent.store.client.list_artifacts(parent.run_id)
    is_there = any(file.path == PAGE for file in files)
    return parent.page if is_there else parent.store.run_page(parent.run_id)


def dataset(store: Store, run_id: str) -> DatasetRecord:
    """What a run was trained on; raises ConfigError where that is not on record."""
    inputs = store.client.get_run(run_id).inputs
    if inputs is None or not inputs.dataset_inputs:
        raise ConfigError(f"run {run_id} has no dataset on record: it is not a run of {NAME}.train")
    found = inputs.dataset_inputs[0].dataset
    return DatasetRecord(found.name, found.digest, found.source, found.schema or "", found.profile or "")


def curves(
    store: Store, run_ids: Sequence[str], metric: str = "loss"
) -> Mapping[str, tuple[list[int], list[float]]]:
    """For each run with a curve of this metric its epochs, ascending, and losses."""
    if bulk.knows(store):
        return bulk.read_curves(store, run_ids, metric)
    return curves_by_client(store, run_ids, metric)


def curves_by_client(
    store: Store, run_ids: Sequence[str], metric: str = "loss"
) -> dict[str, tuple[list[int], list[float]]]:
    """The same through MLflow's public API, a call per run."""
    found = {}
    for run_id in run_ids:
        history = sorted(store.client.get_metric_history(run_id, metric), key=lambda point: point.step)
        if history:
            found[run_id] = ([point.step for point in history], [point.value for point in history])
    return found


def _tracked(run: Run) -> TrackedRun:
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return TrackedRun(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        status=run.info.status,
        params=run.data.params,
        metrics={key: value for key, value in run.data.metrics.items() if key != RANK},
        tags=run.data.tags,
        start_ms=run.info.start_time or 0,
        dataset_digest=inputs[0].dataset.digest if inputs else "",
        data=DataSummary.of(inputs[0].dataset.profile) if inputs else None,
        experiment_id=run.info.experiment_id,
    )
