"""A sweep's runs on other machines: what is done here before they go, there, and here when they are back.

`send` (here) does all that comes before the training, `training` (there) trains, and puts on record where
all can reach the store, `receive` (here) puts on record what comes back. A run is known by its sweep and its
job, so whoever writes it twice writes it once. What the runs of a batch have in common travels once.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from omegaconf import DictConfig

from hydra_plugins.batch_launcher import heeding

from .config import ConfigError, Known, check, one_line
from .data import Pairs
from .fit.fingerprint import code_of
from .fit.forecast import Forecast
from .fit.metrics import METRICS
from .fit.plan import Preparation, Run, check_device
from .pipeline import Part, Results, Trained, begin, crashed, record, train
from .settings import DataSettings, Settings
from .terminal import interrupts
from .terminal.errors import WorkerError, attempt_each
from .tracking import resume
from .tracking.record import RunRecord, TrackedRun
from .tracking.recording import Call
from .tracking.started import common_tags
from .tracking.store import Store, file_in_use, open_store
from .tracking.writer import open_writer
from .workplace import Process

Code = dict[str, str]


@dataclass(frozen=True)
class Parcel:
    """What travels of the runs of one experiment: nothing that only this machine has.

    `code` is what each is computed by here; `store` the address of the one that all can reach, None where the
    client writes. `old`, `parent`: as of a `Part`; `started`: the tags of where the sweep was started.
    """

    settings: list[Settings]
    pairs: dict[DataSettings, Pairs]
    code: list[Code]
    old: list[str]
    parent: str | None
    store: str | None
    started: Mapping[str, str]


@dataclass(frozen=True)
class Sent:
    """What stays here of a batch of so many configs: what is known of them, and what is trained there."""

    count: int
    known: Results
    parts: list[Part]


def send(cfgs: Sequence[DictConfig]) -> tuple[list[Parcel] | None, Sent]:
    """What is to travel, None for nothing, and what stays here.

    Mistakes are found here; whether the device is there, the worker knows.
    """
    settings, failed = attempt_each(partial(_check, known={}), dict(enumerate(cfgs)), lambda reached: None)
    is_dry = any(each.dry for each in settings.values())  # then nothing leaves this machine
    results, parts = begin(settings, check_device if is_dry else _any_device) if settings else ({}, [])
    sent = Sent(len(cfgs), {**failed, **results}, parts)
    return [_parcel(each) for each in parts] or None, sent


def _any_device(device: str) -> None:
    """Whether it is there, the worker finds."""


def _check(cfg: DictConfig, known: Known) -> Settings:
    settings = check(cfg, known)
    if settings.tracking.written_by == "worker" and (file := file_in_use()):
        raise ConfigError(
            f"tracking.written_by=worker: {file} is a file of this machine: give client or auto, or name a "
            "server or a PostgreSQL in MLFLOW_TRACKING_URI"
        )
    return settings


def _parcel(part: Part) -> Parcel:
    settings = [run.settings for run in part.runs]
    writers = {"client": False, "worker": True, "auto": part.store.is_for_all}
    return Parcel(
        settings=settings,
        pairs={run.settings.data: run.problem.pairs for run in part.runs},
        code=[run.code for run in part.runs],
        old=part.old,
        parent=part.parent,
        store=part.store.uri if writers[settings[0].tracking.written_by] else None,
        started=common_tags(),
    )


def training(parcels: Sequence[Parcel], stop: Callable[[], bool]) -> list[Trained]:
    """What came of each parcel's runs; of those that are on record by now the outcomes alone.

    Once nobody waits for it, it does not wait for a store either.
    """
    with heeding(stop):
        return [_train(each, stop) for each in parcels]


def _train(parcel: Parcel, stop: Callable[[], bool]) -> Trained:
    preparation = Preparation(lambda data, k, largest: parcel.pairs[data], METRICS)
    given = dict(enumerate(zip(parcel.settings, parcel.code, strict=True)))
    runs, failed = attempt_each(partial(_prepare, preparation), given, lambda reached: None)
    outcomes: dict[int, float | Exception] = {place: _told(error) for place, error in failed.items()}
    store, found = _on_record(parcel, runs)  # a worker may have died as it wrote them
    old = dict(enumerate(parcel.old)) | {place: each.run_id for place, each in found.items()}
    outcomes |= {place: each.objective for place, each in found.items() if each.is_done}
    left = {place: run for place, run in runs.items() if place not in outcomes}
    if not left:
        return Trained([], [outcomes[place] for place in given])
    replaced = [old[place] for place in left]
    trained = train(list(left.values()), replaced, parcel.parent, stop, len(left), parcel.started)
    outcomes |= {place: _told(each) for place, each in zip(left, trained.outcomes, strict=True)}
    records = _unwritten(store, trained.records) if store else trained.records
    return Trained(records, [outcomes[place] for place in given], again=bool(store and records))


def _told(outcome: float | Exception) -> float | Exception:
    """As it travels, where a cause would be lost; what this machine lacks is no mistake of the user's."""
    if isinstance(outcome, ConfigError):
        return WorkerError(f"on {Process.this().host}: {outcome}")
    if isinstance(outcome, Exception) and outcome.__cause__ and not hasattr(outcome, "__notes__"):
        outcome.add_note("".join(traceback.format_exception(outcome.__cause__)))
    return outcome


def _on_record(parcel: Parcel, runs: dict[int, Run]) -> tuple[Store | None, dict[int, TrackedRun]]:
    """The store, and what it has of the runs, by their places; nothing where the client is to write.

    It writes, too, where a worker does not reach the store: it has the patience to try again, and tells.
    """
    places = list(runs)
    if parcel.store and runs:
        with suppress(Exception):
            store = open_store(parcel.settings[0].tracking.experiment, parcel.store)
            found = resume.on_record(store, list(runs.values()))
            return store, {places[at]: each for at, each in found.items()}
    return None, {}


def _prepare(preparation: Preparation, given: tuple[Settings, Code]) -> Run:
    settings, code = given
    if (here := code_of(settings)) != code:
        unlike = " and ".join(part for part in here if here[part] != code[part])
        raise ConfigError(
            f"another {unlike} than the machine that sends: update it there, and start the worker again"
        )
    return preparation.prepare(settings)


def _unwritten(store: Store, records: list[RunRecord]) -> list[RunRecord]:
    """What is left of them once they are put on record: where the store fails, that goes to the client.

    It has a place to keep them. Another worker may have been given the same, so each is looked for first.
    """
    written = 0
    with suppress(Exception):
        for _ in open_writer(store, again=True).write(records):
            written += 1
    return records[written:]


def receive(sent: Sent, returned: list[Trained] | Exception | None) -> list[float | Forecast | Exception]:
    """Put on record what was not yet; what came of each config.

    `returned` is what `training` gave; the error that kept it from that; or None where nothing was sent.
    """
    results = dict(sent.known)
    with interrupts.deferred():
        if isinstance(returned, Exception):
            returned = [_lost(part, returned) for part in sent.parts]
        for part, each in zip(sent.parts, returned or [], strict=True):
            results |= record(part, each)
    return [results[place] for place in range(sent.count)]


def _lost(part: Part, error: Exception) -> Trained:
    """Runs whose worker did not give them back; it may have put them on record before it died."""
    told, now = WorkerError(one_line(error)), int(time.time() * 1000)
    found: dict[int, TrackedRun] = {}
    with suppress(Exception):  # where the store is away, writing tells that; and it leaves what is done
        found = resume.on_record(part.store, part.runs)
    done = {place: each.objective for place, each in found.items() if each.is_done}
    left = [place for place in range(len(part.runs)) if place not in done]
    old = [found[place].run_id if place in found else part.old[place] for place in left]
    crashes = crashed([part.runs[at] for at in left], old, Call(now, now, part.parent), told, told)
    outcomes: list[float | Exception] = [done.get(place, told) for place in range(len(part.runs))]
    return Trained(crashes.records, outcomes, again=True)
