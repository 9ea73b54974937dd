"""From settings to runs on record and their page: here the rooms meet that take seconds to import."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hydra_plugins.batch_launcher import step

from . import which
from .config import ConfigError
from .data import load
from .fit.forecast import Forecast, forecast
from .fit.metrics import METRICS
from .fit.plan import Preparation, Run, check_device
from .fit.result import Result
from .fit.schedule import tenths
from .fit.training import calibrate
from .loop import LossCurves, print_loss
from .report import figures, page, screen
from .report.comparison import Comparison
from .report.publish import open_view, publish
from .report.words import in_a_line
from .settings import Origin, Settings
from .spelling import swept
from .terminal import interrupts
from .terminal.errors import PageError, StoreError, TrainingError, attempt_each, explain
from .tracking import kept, observed, reader, registry, resume
from .tracking.abandoned import end_abandoned, so_far
from .tracking.experiment import tell_latest
from .tracking.ranking import ranked
from .tracking.record import RunRecord, Status, TrackedRun, as_text, in_short
from .tracking.recording import Call, of_crash, of_result
from .tracking.repetition import Repetition, repeat
from .tracking.selection import Selection
from .tracking.started import common_tags
from .tracking.store import Store, open_store
from .tracking.sweep import CONFIG, Parent, parent_id, parents
from .workplace import Sweep, unsaid

Results = dict[int, float | Forecast | Exception]


@dataclass(frozen=True)
class Part:
    """What is left to train of one experiment's jobs, at these places among them; all before that is done.

    `old` are the ids of the runs that they replace, empty for none; `jobs`: how many they are the rest of.
    """

    places: list[int]
    runs: list[Run]
    old: list[str]
    store: Store
    parent: str | None
    jobs: int


@dataclass(frozen=True)
class Trained:
    """What came of some runs: what is to be put on record of each, and its final loss or why it has none.

    `again`: whether some of the records may be there already, by half or whole.
    """

    records: list[RunRecord]
    outcomes: list[float | Exception]
    again: bool = False


def run(settings: dict[int, Settings]) -> Results:
    """Train and record: for each its final loss, infinity where it diverged, or what is wrong with it.

    Of dry runs the forecasts, and nothing is trained nor recorded.
    """
    results, parts = begin(settings)
    for part in parts:
        with interrupts.deferred() as stop:
            results |= record(part, train(part.runs, part.old, part.parent, stop, part.jobs))
    return results


def begin(
    settings: dict[int, Settings], check: Callable[[str], None] = check_device
) -> tuple[Results, list[Part]]:
    """What is known before anything is trained, mistakes among it, and what is left to train.

    `check` refuses a device; it is given its name.
    """
    with step("preparing", len(settings), "runs", len(settings)) as reached:
        runs, failed = attempt_each(Preparation(load, METRICS, check).prepare, settings, reached)
    results: Results = {**failed}
    try:
        digests = {each.problem.pairs.digest for each in runs.values()}
        registry.check_registration(_name(runs.values()), digests)
    except ConfigError as error:
        return {**results, **dict.fromkeys(runs, error)}, []
    if dry := {index: each for index, each in runs.items() if each.settings.dry}:
        _say_what_was_read(list(dry.values()))
        results |= zip(dry, forecast(list(dry.values())), strict=True)
        runs = {index: each for index, each in runs.items() if index not in dry}
    parts = []
    for experiment in dict.fromkeys(each.settings.tracking.experiment for each in runs.values()):
        mine = {
            index: each for index, each in runs.items() if each.settings.tracking.experiment == experiment
        }
        try:
            done, part = _begin(mine, open_store(experiment))
            results |= done
            parts += [part] if part.runs else []
        except (ConfigError, StoreError) as error:  # the store cannot be opened, or not be written
            results |= dict.fromkeys(mine, error)
    return results, parts


def _begin(runs: dict[int, Run], store: Store) -> tuple[Results, Part]:
    """What is on record of a sweep's jobs is left out, and replaced where it did not come to its end."""
    every = list(runs.values())
    origin = every[0].settings.origin
    _say_what_was_read(every)
    with kept.beginning(store, origin):
        end_abandoned(store)
        kept.put_back(store, origin)
    with interrupts.deferred(), kept.beginning(store, origin):
        parent = parent_id(store, every[0])
        found = resume.on_record(store, every)
        recorded = {index: found[place] for place, index in enumerate(runs) if place in found}
        done: Results = {index: each.objective for index, each in recorded.items() if each.is_done}
        left = {index: each for index, each in runs.items() if index not in done}
        if parent and left:
            observed.keep(store, parent, [run.problem.pairs for run in left.values()])
    old = [recorded[index].run_id if index in recorded else "" for index in left]
    return done, Part(list(left), list(left.values()), old, store, parent, len(runs))


def repeat_run(named: str) -> Repetition:
    """A run on record trained again; raises ConfigError for what is none."""
    if not which.WHICH.fullmatch(named):
        raise ConfigError(f"repeat={named} is no calibration: {which.ALLOWED}")
    store = which.store_of(named, None)
    found, _ = which.run_of(store, named)
    return repeat(store, found, load)


def _name(runs: Iterable[Run]) -> str | None:
    """What the best run's model is to be registered as."""
    return next((each.settings.register_as for each in runs if each.settings.register_as), None)


def _say_what_was_read(runs: list[Run]) -> None:
    """A line on each file, once in a sweep, however its jobs are launched."""
    pairs = {id(each.problem.pairs): each.problem.pairs for each in runs}
    lines = dict.fromkeys(line for each in pairs.values() for line in each.told)
    screen.print_read(unsaid(runs[0].settings.origin, list(lines)))


def train(
    runs: list[Run],
    old: list[str],
    parent: str | None,
    stop: Callable[[], bool],
    jobs: int,
    started: Mapping[str, str] | None = None,
) -> Trained:
    """Train runs of one sweep, or one on its own; nothing is written.

    `old`, `jobs`: as of a `Part`; `started`: the tags of where the sweep was started, None for here.
    """
    start_ms, tags = _now_ms(), common_tags() if started is None else started
    try:
        results = _calibrate(runs, stop, jobs)
    except Exception as error:
        crash = Call(start_ms, _now_ms(), parent, tags)
        return crashed(runs, old, crash, error, TrainingError.of(error))
    call = Call(start_ms, _now_ms(), parent, tags)
    with step("describing", len(runs), "runs", jobs) as reached:
        records = []
        for each, replaces in zip(results, old, strict=True):
            records.append(of_result(each, call, replaces))
            reached(len(records))
    return Trained(records, [result.objective for result in results])


def crashed(runs: list[Run], old: list[str], call: Call, error: Exception, told: Exception) -> Trained:
    """Runs that an error ended, which is told of each."""
    records = [of_crash(run, call, error, replaces) for run, replaces in zip(runs, old, strict=True)]
    return Trained(records, [told] * len(runs))


def record(part: Part, trained: Trained) -> Results:
    """Put on record what was trained; what each came to, by its place."""
    runs, store = part.runs, part.store
    try:
        with step("recording", len(runs), "runs", part.jobs) as reached:
            ids = kept.write(store, trained.records, runs[0].settings.origin, reached, trained.again)
        if part.parent is None and not any(isinstance(each, Exception) for each in trained.outcomes):
            for run_id, each in zip(ids, runs, strict=True):
                observed.keep(store, run_id, [each.problem.pairs])
                _end_run(store, run_id, each.settings.register_as)
    except (ConfigError, StoreError) as error:
        return dict.fromkeys(part.places, error)
    return dict(zip(part.places, trained.outcomes, strict=True))


def _calibrate(runs: list[Run], stop: Callable[[], bool], jobs: int) -> list[Result]:
    """A run on its own prints the chapter's lines, ten of them however many epochs."""
    settings = runs[0].settings
    shown = set() if settings.origin.sweep else tenths(settings.epochs)

    def show(epoch: int, curves: LossCurves) -> None:
        if epoch in shown:
            print_loss(epoch, curves)

    def opened(doing: str, of: int, unit: str, part: int) -> AbstractContextManager[Callable[[int], object]]:
        return step(doing, of, unit, part * jobs / len(runs))

    return calibrate(runs, show, stop, opened)


def _now_ms() -> int:
    return int(time.time() * 1000)


def _end_run(store: Store, run_id: str, register: str | None) -> None:
    """A run on its own ends with its calibration on the screen, its pictures and its model."""
    comparison = Comparison(store, "", [reader.get(store, run_id)])
    try:
        with tempfile.TemporaryDirectory() as name:
            publish(
                comparison,
                {"on record": store.run_page(run_id)},
                style="calibration",
                models=[comparison.best] if comparison.best else [],
                register=register,
                write_page=partial(page.write, folder=Path(name), only=figures.OF_A_RUN),
            )
            store.keep_files(run_id, Path(name))
    except Exception as error:
        raise PageError(f"the run is on record, but not all of its page: {explain(error)}") from error


def end_sweep(origin: Origin, status: Status, register: str | None) -> None:
    """A sweep ends with its runs ranked on the screen, its page, and each data set's best model.

    Where it ended early, the last line says how it goes on. Raises PageError.
    """
    if origin.kept.exists():
        return  # the store cannot be written: the next command ends the sweep
    lacking: list[Exception] = []
    with step("ranking the runs"):
        ended = [
            (parent, ranked(reader.runs(parent.store, Selection(sweep=parent.sweep))))
            for parent in parents(origin)
        ]
    sweep, refusal, early = Sweep.of(origin), None, ""
    if status != "FINISHED":
        early = f"ended early, {so_far(sweep.name, [run for _, runs in ended for run in runs], sweep.jobs)}"
    try:
        registry.check_registration(register, {run.data_digest for _, runs in ended for run in runs})
    except ConfigError as error:  # of jobs that ran apart
        register, refusal = None, error
    for parent, runs in ended:
        try:
            _end_parent(parent, runs, sweep, status, register, early)
        except Exception as error:  # the other experiments' parents are to be ended, too
            experiment = parent.store.client.get_experiment(parent.store.experiment_id).name
            why = f"the runs are on record, but not all of their page: {explain(error)}"
            lacking.append(PageError(f"experiment {experiment}: {why}"))
    if refusal:
        print(f"registered   none: {refusal}")
    if early:
        print(early, file=sys.stderr)
    if lacking:
        raise lacking[0]


def _end_parent(
    parent: Parent, runs: list[TrackedRun], sweep: Sweep, status: Status, register: str | None, early: str
) -> None:
    """Whatever fails, the parent is ended, with what there is of its page; `early` says how far it came."""
    over = swept(each.params for each in runs)
    comparison = Comparison(parent.store, f"sweep {in_short(over)}".strip(), runs)
    links: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        try:
            if comparison.best and len(comparison.data_sets) == 1:
                parent.stand_for(comparison.best, is_complete=status == "FINISHED")
            with step("opening the page"):
                addresses = {"page": parent.page, "table": open_view(comparison, sweep.name)}
            links = publish(
                comparison,
                addresses,
                models=[part.best for part in comparison.data_sets[: screen.MOST_TABLES] if part.best],
                register=register,
                write_page=partial(page.write, folder=Path(name)),
            )
        finally:
            try:
                if sweep.config:
                    (Path(name) / CONFIG).write_text(sweep.file, "utf-8")
                parent.describe(Path(name), early, links)
                tell_latest(parent, in_a_line(comparison))
            finally:
                parent.end(status, comparison.title, as_text(over))
