"""Sweeps and runs whose processes are gone: the next command ends them, and says how sweeps go on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress

from mlflow.exceptions import MlflowException

from ..package import command
from ..workplace import remove_abandoned
from . import ranks, reader
from .ranking import ranked
from .record import TrackedRun
from .selection import Selection
from .store import Store
from .sweep import Parent, running


def end_abandoned(store: Store) -> None:
    """End what nobody is at work on any more, remove what it left, and say so of sweeps."""
    remove_abandoned()
    parents, halves = running(store)
    with suppress(MlflowException):  # who may only read leaves it all to the next
        for run_id in halves:
            store.client.set_terminated(run_id, "KILLED")
        for parent in parents:
            if parent.is_abandoned:
                _end(parent, reader.runs(store, Selection(sweep=parent.sweep)))


def _end(parent: Parent, runs: Sequence[TrackedRun]) -> None:
    """The status after the ranks: where these are cut short, the next command ranks anew.

    `runs` are the sweep's, in other experiments, too.
    """
    ranks.record(
        parent.store, ranked([run for run in runs if run.experiment_id == parent.store.experiment_id])
    )
    if parent.set_status("KILLED"):
        far = so_far(parent.sweep, runs, parent.jobs)
        parent.say(f"Ended early, {far}.")
        print(f"{parent.sweep} ended early, {far}", file=sys.stderr)


def so_far(sweep: str, runs: Sequence[TrackedRun], jobs: int | None) -> str:
    """How many of a sweep's runs were trained to their end, and how it goes on where it can."""
    done = sum(run.is_done for run in runs)
    if jobs is None:
        return f"{done} runs came to their end"
    return f"{done} of {jobs} runs came to their end; to go on: {command('train')} resume={sweep}"
