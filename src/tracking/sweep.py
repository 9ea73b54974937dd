"""A sweep's parent run: one for all its jobs in an experiment, under any launcher.

The store alone says whether it is there: whoever records first makes it, under a lock in the folder that the
jobs share, and the process that started the sweep ends it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from ..settings import Origin
from .record import LONGEST_NAME, LONGEST_TAG, NOTE, Status, common_tags, cut, dataset_record
from .store import Store, existing, open_store
from .writer import dataset_input

if TYPE_CHECKING:
    from ..fit.plan import Run


@dataclass(frozen=True)
class Parent:
    """The run that stands for a sweep in one experiment, while the sweep runs named after it."""

    store: Store
    run_id: str

    def end(self, status: Status, title: str, overrides: str) -> None:
        """No longer RUNNING, and called by what the sweep was over."""
        client = self.store.client
        client.set_tag(self.run_id, "overrides", cut(overrides, LONGEST_TAG))
        client.update_run(self.run_id, name=cut(title, LONGEST_NAME))
        client.set_terminated(self.run_id, status, int(time.time() * 1000))

    def describe(self, page: Path) -> None:
        """Log the page's files; its `note.md` is the description."""
        client, note = self.store.client, page / "note.md"
        client.log_artifacts(self.run_id, str(page))
        if note.exists():
            client.set_tag(self.run_id, NOTE, cut(note.read_text("utf-8"), LONGEST_TAG))


def parent_id(store: Store, run: Run) -> str | None:
    """The id of the parent of a run's sweep, made where there is none; None for a run on its own."""
    origin = run.settings.origin
    if not origin.sweep:
        return None
    with FileLock(origin.lock):
        origin.lock.touch()
        found = _find(store, origin.sweep)
        return found[0] if found else _make(store, origin.sweep, run)


def _make(store: Store, name: str, run: Run) -> str:
    client = store.client
    made: str = client.create_run(
        store.experiment_id, tags={**common_tags(), "sweep": name}, run_name=name
    ).info.run_id
    # A dataset's first logging collides between processes: here only one is at it.
    client.log_inputs(made, [dataset_input(dataset_record(run.problem.pairs))])
    return made


def _find(store: Store, name: str) -> list[str]:
    """The ids of the runs that are named after a sweep: its parents."""
    clauses = f"tags.sweep = '{name}' and attributes.run_name = '{name}'"
    return [run.info.run_id for run in store.client.search_runs(store.experiment_ids, clauses)]


def parents(origin: Origin) -> Iterator[Parent]:
    """A sweep's parents that are not ended, one for each experiment; none where nothing was recorded."""
    assert origin.sweep
    everywhere = existing()
    for run_id in _find(everywhere, origin.sweep):
        experiment_id = everywhere.client.get_run(run_id).info.experiment_id
        name = everywhere.client.get_experiment(experiment_id).name
        yield Parent(open_store(name), run_id)
