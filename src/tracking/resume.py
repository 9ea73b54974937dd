"""A sweep that ended early goes on: which one, who may, and what of it is on record already."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..config import ConfigError
from ..data import Pairs, load
from ..fit.fingerprint import code_of
from ..settings import Origin, Settings
from ..spelling import DATA
from ..terminal.errors import BusyError
from ..workplace import Sweep
from . import reader
from .abandoned import end_abandoned
from .record import HELD_OUT_DIGEST, JOB, TrackedRun, rebuild
from .selection import Selection
from .store import Store, existing
from .sweep import Parent, latest_parents, parents_of

if TYPE_CHECKING:
    from ..fit.plan import Run

LATEST = "latest"


def latest_like(config: str) -> str:
    """The name of the latest sweep with this config that ended early; raises ConfigError for none."""
    found = list(latest_parents(existing(), config))
    for parent in found:
        if parent.status != "FINISHED":
            return parent.sweep
    why = f"{found[0].sweep} is complete" if found else "there is none with these settings"
    raise ConfigError(f"resume=true: no such sweep ended early, {why}; leave resume out to begin one")


def named(which: str) -> tuple[str, str]:
    """The name of a sweep, or of the latest that ended early, and its config.

    Raises ConfigError where there is nothing to go on with.
    """
    store = existing()
    is_name = re.fullmatch(r"[\w.-]+", which)
    found = _latest(store) if which == LATEST else parents_of(store, which) if is_name else []
    if not found:
        latest = reader.latest_sweep(store)
        why = "no sweep ended early" if which == LATEST else "there is no such sweep"
        raise ConfigError(f"resume={which}: {why}{f', the latest is {latest}' if latest else ''}")
    _require_early(f"resume={which}", found)
    for parent in found:
        if config := parent.config():
            return parent.sweep, config
    raise ConfigError(
        f"resume={which}: {found[0].sweep} has no settings on record; give its command with resume=true"
    )


def _latest(store: Store) -> list[Parent]:
    return next(([each] for each in latest_parents(store) if each.status != "FINISHED"), [])


def _require_early(given: str, parents: Sequence[Parent]) -> None:
    if all(parent.status == "FINISHED" for parent in parents):
        raise ConfigError(f"{given}: {parents[0].sweep} is complete, all its runs are on record")


def claim(origin: Origin) -> None:
    """Take a sweep over: it is RUNNING again, and this process at work on it.

    Raises ConfigError for data or code that are not any more what they were, or where it is complete by now;
    BusyError where another process is at work on it.
    """
    store, sweep = existing(), Sweep.of(origin)
    end_abandoned(store)
    recorded, parents = reader.runs(store, Selection(sweep=sweep.name)), parents_of(store, sweep.name)
    _require_early(f"resume={sweep.name}", parents)
    _require_unchanged(store, recorded)
    for parent in parents:
        is_at_work = parent.status == "RUNNING" and parent.process != sweep.process
        if is_at_work or not parent.set_status("RUNNING", sweep.process):
            where = _where(parent) if is_at_work else ""
            raise BusyError(f"another process is at work on {sweep.name}{where}: wait until it ends")
        origin.lock.touch()
    done = sum(run.is_done for run in recorded)
    print(f"going on with {sweep.name}: {done} of {sweep.jobs} runs came to their end")


def _require_unchanged(store: Store, recorded: Sequence[TrackedRun]) -> None:
    """By one run of each code and data: to look at ten thousand would tell no more."""
    alike = {
        (run.tags.get("code"), run.data_digest, *map(run.params.get, DATA)): run
        for run in recorded
        if "code" in run.tags
    }
    for run in alike.values():
        settings = rebuild(run, reader.dataset(store, run.run_id))
        pairs = load(settings.data, len(settings.model.parameters), math.inf)
        if changed := _changed(run, settings, pairs):
            raise ConfigError(
                f"{run.tags['sweep']} cannot go on: {changed} since it trained {run.name}: "
                "undo that, or begin a new sweep without resume"
            )


def on_record(store: Store, runs: Sequence[Run]) -> dict[int, TrackedRun]:
    """What is on record of these jobs of one sweep, by their places; nothing of a run on its own.

    Raises ConfigError for a job that is another run now.
    """
    sweep = runs[0].settings.origin.sweep
    if not sweep:
        return {}
    places = {run.settings.origin.job: place for place, run in enumerate(runs)}
    found = {}
    for recorded in reader.of_jobs(store, sweep, [job for job in places if job is not None]):
        place = places[int(recorded.tags[JOB])]
        run = runs[place]
        if recorded.tags["fingerprint"] != run.fingerprint:
            changed = _changed(recorded, run.settings, run.problem.pairs) or "a setting was changed"
            raise ConfigError(f"{sweep} cannot go on: {changed} since it trained {recorded.name}")
        if place not in found or recorded.is_done:
            found[place] = recorded
    return found


def _where(parent: Parent) -> str:
    process = parent.process
    return f" (process {process.pid} on {process.host})" if process else ""


def _changed(recorded: TrackedRun, settings: Settings, pairs: Pairs) -> str:
    """What is not any more as it was when a run was recorded; empty for nothing."""
    before, now = json.loads(recorded.tags["code"]), code_of(settings)
    parts = [f"the code of the {part}" for part in now if part != "torch" and before.get(part) != now[part]]
    if before.get("torch") != now["torch"]:
        parts.append(f"torch (now {now['torch']}, then {before.get('torch')})")
    if recorded.data_digest != pairs.digest:
        parts.append(f"what {settings.data.path} holds")
    if recorded.tags.get(HELD_OUT_DIGEST) != (pairs.held_out.digest if pairs.held_out else None):
        parts.append(f"what data.validation={settings.data.validation} holds")
    return f"{' and '.join(parts)} was changed" if parts else ""
