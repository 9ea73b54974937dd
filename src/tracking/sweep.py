"""A sweep's parent run: one for all its jobs in an experiment, under any launcher.

The store alone says whether it is there: whoever records first makes it, under a lock in the folder that the
jobs share, and the process that started the sweep ends it. Where that one is gone, the next command does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from filelock import FileLock
from mlflow.entities import Metric, Param
from mlflow.entities import Run as MlflowRun

from ..settings import Origin
from ..workplace import Process, Sweep, digest, without_head
from .dataset import dataset_record
from .limits import LONGEST_NAME, LONGEST_TAG, cut
from .record import AT_WORK, LIKE, NOTE, RANK, Status, TrackedRun, is_curve
from .selection import quoted
from .started import common_tags
from .store import Store, existing
from .writer import create_run, dataset_input, exchange, value_of

if TYPE_CHECKING:
    from ..fit.plan import Run

PAGE = "sweep.html"  # the artifact that says what came of it
CONFIG = "sweep.yaml"  # the artifact that repeats a sweep
JOBS = "jobs"  # the tag that says how many jobs there are


@dataclass(frozen=True)
class Parent:
    """The run that stands for a sweep in one experiment, while the sweep runs named after it.

    `jobs` is None where it cannot go on if it ends early.
    """

    store: Store
    run_id: str
    sweep: str
    status: str
    jobs: int | None
    at_work: str
    like: str

    @property
    def process(self) -> Process | None:
        """The one at work on it, or that was; None where that is not on record."""
        return _process(self.at_work) if self.at_work else None

    @property
    def is_abandoned(self) -> bool:
        """Whether the process at work on it is gone without having ended it."""
        return self.status == "RUNNING" and self.process is not None and self.process.is_gone

    def config(self) -> str:
        """What repeats the sweep; empty where it is not on record, or not whole."""
        client = self.store.client
        if not any(file.path == CONFIG for file in client.list_artifacts(self.run_id)):
            return ""
        text = Path(client.download_artifacts(self.run_id, CONFIG)).read_text("utf-8")
        config = without_head(text)
        return config if digest(config) == self.like else ""

    def set_status(self, status: Status | Literal["RUNNING"], process: Process | None = None) -> bool:
        """Whether it has this status now, under its first name, and this process at work on it if any.

        False, with nothing done, where yet another process was quicker.
        """
        now = json.dumps(asdict(process)) if process else self.at_work
        return exchange(self.store, self.run_id, (AT_WORK, self.at_work, now), status, self.sweep)

    def end(self, status: Status, title: str, overrides: str) -> None:
        """No longer RUNNING, and called by what the sweep was over."""
        client = self.store.client
        client.set_tag(self.run_id, "overrides", cut(overrides, LONGEST_TAG))
        client.update_run(self.run_id, name=cut(title, LONGEST_NAME))
        client.set_terminated(self.run_id, status, int(time.time() * 1000))

    @property
    def page(self) -> str:
        """The address of its page, which stays what it is when it is reloaded or copied."""
        return self.store.run_page(self.run_id, PAGE)

    def describe(self, page: Path, early: str, links: Mapping[str, str]) -> None:
        """Log the page's files; its `note.md` is the description, after how far it came if it ended early.

        `links` are addresses by what they are called; those to the same server hold on any. They follow the
        answer, for MLflow shows the first few lines.
        """
        note = page / "note.md"
        self.store.client.log_artifacts(self.run_id, str(page))
        answer, _, rest = (note.read_text("utf-8") if note.exists() else "").partition("\n\n")
        linked = (f"[{name}]({url.removeprefix(self.store.root)})" for name, url in links.items())
        parts = [early, answer, " · ".join(linked), rest]
        if text := "\n\n".join(filter(None, parts)):
            self.say(text)

    def say(self, note: str) -> None:
        """Describe it, in Markdown; by its rank it stands before all its runs."""
        self.store.client.set_tag(self.run_id, NOTE, cut(note, LONGEST_TAG))
        self.store.client.log_metric(self.run_id, RANK, 0)

    def stand_for(self, best: TrackedRun, is_complete: bool) -> None:
        """Have the metrics of the sweep's best run, and its params once no other can be the best.

        Not its curves: a sweep has none. MLflow lets no param change.
        """
        now_ms = int(time.time() * 1000)
        metrics = [Metric(key, value, now_ms, 0) for key, value in best.metrics.items() if not is_curve(key)]
        params = [Param(key, value) for key, value in best.params.items()] if is_complete else []
        self.store.client.log_batch(self.run_id, metrics, params)


def parent_id(store: Store, run: Run) -> str | None:
    """The id of the parent of a run's sweep, made where there is none; None for a run on its own."""
    origin = run.settings.origin
    if not origin.sweep:
        return None
    with FileLock(origin.lock):
        origin.lock.touch()
        found = next(_parents(store, _named(origin.sweep)), None)
        return found.run_id if found else _make(store, Sweep.of(origin), run)


def _make(store: Store, sweep: Sweep, run: Run) -> str:
    client = store.client
    tags = {
        "sweep": sweep.name,
        LIKE: digest(sweep.config),
        AT_WORK: json.dumps(asdict(sweep.process)),
    }
    if sweep.jobs is not None:
        tags[JOBS] = str(sweep.jobs)
    made = create_run(store, _named(sweep.name), tags={**common_tags(), **tags}, run_name=sweep.name)
    if sweep.config:
        with suppress(Exception):  # its end tells what keeps artifacts; its command goes on with it
            client.log_text(made, sweep.file, CONFIG)
    # A dataset's first logging collides between processes: here only one is at it.
    client.log_inputs(made, [dataset_input(dataset_record(run.problem.pairs))])
    return made


def _named(sweep: str) -> str:
    # parents first, which are few: the tag of a sweep is all its runs'
    return f"tags.{LIKE} LIKE '%' and tags.sweep = {quoted(sweep)} and attributes.run_name = {quoted(sweep)}"


def parents(origin: Origin) -> Iterator[Parent]:
    """A sweep's parents that are not ended, one for each experiment; none where nothing was recorded."""
    assert origin.sweep
    return _parents(existing(), _named(origin.sweep))


def parents_of(store: Store, sweep: str) -> list[Parent]:
    """Those of a sweep, ended or not."""
    return list(_parents(store, f"tags.{LIKE} LIKE '%' and tags.sweep = {quoted(sweep)}"))


def latest_parents(store: Store, config: str = "") -> Iterator[Parent]:
    """The parents of all sweeps, or of those with the same config, the newest first."""
    return _parents(store, f"tags.{LIKE} LIKE '{digest(config) if config else '%'}'")


def running(store: Store) -> tuple[list[Parent], list[str]]:
    """What is RUNNING: parents, for whatever reason, and runs whose writing a process that is gone began."""
    found = store.client.search_runs(store.experiment_ids, "attributes.status = 'RUNNING'")
    parents = [_parent(store, each) for each in found if LIKE in each.data.tags]
    runs = [each for each in found if LIKE not in each.data.tags and AT_WORK in each.data.tags]
    return parents, [each.info.run_id for each in runs if _process(each.data.tags[AT_WORK]).is_gone]


def _process(tag: str) -> Process:
    return Process(**json.loads(tag))


def _parents(store: Store, condition: str) -> Iterator[Parent]:
    newest = ["attributes.start_time DESC"]
    for found in store.client.search_runs(store.experiment_ids, condition, order_by=newest):
        yield _parent(store, found)


def _parent(store: Store, found: MlflowRun) -> Parent:
    tags = found.data.tags
    if found.info.experiment_id != store.experiment_id:
        store = replace(store, experiment_id=found.info.experiment_id)
    jobs = int(tags[JOBS]) if JOBS in tags else None
    return Parent(
        store,
        found.info.run_id,
        tags["sweep"],
        found.info.status,
        jobs,
        value_of(found, AT_WORK),
        tags.get(LIKE, ""),
    )
