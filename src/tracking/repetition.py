"""A run trained again from its record, and whether the numbers are the same to the bit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..config import ConfigError
from ..data import Pairs
from ..fit.plan import Preparation, Run
from ..fit.result import Result
from ..fit.schedule import curve_schedule
from ..fit.training import calibrate
from ..settings import DataSettings, Settings
from . import observed, reader
from .record import HELD_OUT_DIGEST, TrackedRun, rebuild
from .recording import Call, of_result
from .store import Store

Load = Callable[[DataSettings, int, float], Pairs]

POINTS = (12, *range(1, 1001))  # of a tenfold of epochs: the default first


@dataclass(frozen=True)
class Difference:
    """Of one number on record, or of the first that differs in a curve, at an epoch."""

    name: str
    before: float
    now: float
    epoch: int | None = None


@dataclass(frozen=True)
class Repetition:
    """What came of it.

    `data`: why the data are those on record, empty where the file is as it was. `changed`: what is not as it
    was then, of code, versions and processor. `points`: of the loss curve, that were compared.
    """

    run: TrackedRun
    data: str
    changed: list[str]
    points: int
    differences: list[Difference]


def repeat(store: Store, run: TrackedRun, load: Load) -> Repetition:
    """Raises ConfigError for what is no run, has no curve, or whose data are neither there nor on record."""
    recorded = reader.curves(store, [run.run_id]).get(run.run_id)
    if not run.params or recorded is None:
        raise ConfigError(f"repeat={run.run_id}: there is no loss curve on record: give another run")
    settings = rebuild(run, reader.dataset(store, run.run_id))
    epochs, losses = recorded
    settings = _with_points(settings, epochs)
    pairs, why = _pairs(store, run, settings, load)
    ready = Preparation(lambda *_: pairs).prepare(settings)
    [result] = calibrate([ready])
    found = list(_curve(result, epochs, losses))
    if run.is_done:  # else it was interrupted between two epochs
        found += _metrics(run, result)
    return Repetition(run, why, list(_changed(run, ready)), len(epochs), found)


def _with_points(settings: Settings, epochs: Sequence[int]) -> Settings:
    """So that the loss is recorded at the epochs at which it was."""
    for points in POINTS:
        if list(curve_schedule(settings.epochs, points)[: len(epochs)]) == list(epochs):
            break
    tracking = settings.tracking.model_copy(update={"points": points})
    return settings.model_copy(update={"tracking": tracking})


def _pairs(store: Store, run: TrackedRun, settings: Settings, load: Load) -> tuple[Pairs, str]:
    """From the file where it holds what it held then, else from the record; then why."""
    try:
        now: Pairs | None = load(settings.data, len(settings.model.parameters), math.inf)
        why = f"{settings.data.path} has changed since"
    except ConfigError as error:
        now, why = None, str(error)
    held_out = now.held_out.digest if now and now.held_out else ""
    if now and (now.digest, held_out) == (run.data_digest, run.tags.get(HELD_OUT_DIGEST, "")):
        return now, ""
    if then := observed.find(store, run, settings.data):
        return then, why
    raise ConfigError(f"repeat={run.run_id}: {why}, and what it held is not on record")


def _curve(result: Result, epochs: Sequence[int], losses: Sequence[float]) -> Iterator[Difference]:
    """The first point at which it is another; a curve that ends elsewhere is another there."""
    found = dict(zip(result.epochs, result.losses, strict=True))
    for epoch, before in zip(epochs, losses, strict=True):
        if (now := found.get(epoch, math.nan)) != before:
            yield Difference("loss", before, now, epoch)
            return


def _metrics(run: TrackedRun, result: Result) -> Iterator[Difference]:
    now = of_result(result, Call(0, 0)).metrics
    for name, before in run.metrics.items():
        if name in now and now[name] != before:
            yield Difference(name, before, now[name])


def _changed(run: TrackedRun, ready: Run) -> Iterator[str]:
    before: Mapping[str, str] = json.loads(run.tags.get("code", "{}"))
    for name, now in ready.code.items():
        if before.get(name, now) != now:
            yield f"torch {before[name]}, now {now}" if name == "torch" else f"the code of the {name}"
    processor = run.tags.get("processor", ready.processor)
    if processor != ready.processor:
        yield f"processor {processor}, now {ready.processor}"
