"""Read tracked runs back, as plain data."""

from __future__ import annotations

from mlflow.entities import Run

from src.tracking import bulk
from src.tracking.record import TrackedRun
from src.tracking.store import Store

PAGE_SIZE = 1000


def children(store: Store, parent_id: str) -> list[TrackedRun]:
    """All runs of a sweep, in no order."""
    if bulk.knows(store):
        return bulk.read_children(store, parent_id)
    return children_by_client(store, parent_id)


def children_by_client(store: Store, parent_id: str) -> list[TrackedRun]:
    """The same through MLflow's public API: any store, a second per thousand runs."""
    found: list[TrackedRun] = []
    token = None
    while True:
        page = store.client.search_runs(
            [store.experiment_id],
            filter_string=f"tags.`mlflow.parentRunId` = '{parent_id}'",
            max_results=PAGE_SIZE,
            page_token=token,
        )
        found += map(_tracked, page)
        token = page.token
        if not token:
            return found


def _tracked(run: Run) -> TrackedRun:
    return TrackedRun(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        status=run.info.status,
        params=run.data.params,
        metrics=run.data.metrics,
        tags=run.data.tags,
    )
