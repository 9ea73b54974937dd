"""Read tracked runs back, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from mlflow.entities import Run

from src.tracking.store import Store

PAGE_SIZE = 1000


@dataclass(frozen=True)
class TrackedRun:
    """A run as the store holds it; `metrics` are the latest values."""

    run_id: str
    name: str
    status: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]

    @property
    def outcome(self) -> str:
        """`converged`, `stopped`, `diverged`, `killed`; `crashed` for a run that has none."""
        return self.tags.get("outcome", "crashed")


def children(store: Store, parent_id: str) -> list[TrackedRun]:
    """All runs of a sweep."""
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
