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
from .sweep import running


def end_abandoned(store: Store) -> None:
    """End what nobody is at work on any more, remove what it left, and say so of sweeps."""
    remove_abandoned()
    parents, halves = running(store)
    for run_id in halves:
        with suppress(MlflowException):
            store.client.set_terminated(run_id, "KILLED")
    for parent in parents:
        with suppress(MlflowException):  # who may only read leaves it to the next
            if not (parent.is_abandoned and parent.set_status("KILLED")):
                continue
            of_sweep = Selection(sweep=parent.sweep)
            far = so_far(parent.sweep, reader.runs(store, of_sweep), parent.jobs)
            parent.say(f"Ended early, {far}.")
            print(f"{parent.sweep} ended early, {far}", file=sys.stderr)
            ranks.record(parent.store, ranked(reader.runs(parent.store, of_sweep)))


def so_far(sweep: str, runs: Sequence[TrackedRun], jobs: int | None) -> str:
    """How many of a sweep's runs were trained to their end, and how it goes on where it can."""
    done = sum(run.is_done for run in runs)
    if jobs is None:
        return f"{done} runs on record"
    return f"{done} of {jobs} runs on record; to go on: {command('train')} resume={sweep}"
