"""Launching a sweep in batches, and telling what failed."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import (
    JobReturn,
    JobRuntime,
    JobStatus,
    configure_log,
    env_override,
    setup_globals,
)
from hydra.types import HydraContext
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ._compose import SweepLoader
from ._deferred import Deferred
from ._failures import Failure, JobsFailedError
from ._progress import bar, step

log = logging.getLogger(__name__)

BatchFunction = Callable[[list[DictConfig]], Iterable[Any]]


@dataclass
class Batch:
    """Some jobs of a launch, from this number on; those that could be composed have configs."""

    first: int
    jobs: list[JobReturn]
    composed: list[tuple[JobReturn, Deferred]]
    configs: list[DictConfig]


# Runs batches, which are composed as they are asked for, and hands each over with its results, in any order
Engine = Callable[[Iterable[Batch], Callable[[Batch, list[Any]], None]], None]


def launch_batches(
    name: str,
    run: Engine,
    batch_size: int,
    hydra_context: HydraContext,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    initial_job_idx: int,
) -> list[JobReturn]:
    """Return one JobReturn per job; a batch that fails does not keep the next from running.

    `name` is the dotted path of the function that does a batch's work.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    log.info(f"Launching {len(job_overrides)} jobs on {name}, at most {batch_size} at once")
    function = get_method(name)
    ended: dict[int, list[JobReturn]] = {}

    def end(batch: Batch, results: list[Any]) -> None:
        for (job, whole), result in zip(batch.composed, results, strict=True):
            _finish(job, result)
            hydra_context.callbacks.on_job_end(whole, job_return=job)
        ended[batch.first] = batch.jobs

    with _surroundings(config):
        parts = (
            [list(overrides) for overrides in job_overrides[start : start + batch_size]]
            for start in range(0, len(job_overrides), batch_size)
        )
        firsts = range(initial_job_idx, initial_job_idx + len(job_overrides), batch_size)
        run((_compose(function, hydra_context, *each) for each in zip(parts, firsts, strict=True)), end)
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    return [job for first in sorted(ended) for job in ended[first]]


def here(name: str) -> Engine:
    """The engine that calls the function of this dotted path, in this process, batch by batch."""

    def run(batches: Iterable[Batch], end: Callable[[Batch, list[Any]], None]) -> None:
        function = get_method(name)
        for batch in batches:
            with _rarely_collected():
                results = run_job(function, batch.configs)
            end(batch, results)

    return run


@contextmanager
def _surroundings(config: DictConfig) -> Iterator[None]:
    """What a task finds around it, the same for all jobs: HydraConfig, logging, environment."""
    shared = deepcopy(config)
    sweep_dir = Path(str(shared.hydra.sweep.dir))
    sweep_dir.mkdir(parents=True, exist_ok=True)
    with read_write(shared.hydra), open_dict(shared.hydra):
        shared.hydra.runtime.output_dir = str(sweep_dir.absolute())
    current = HydraConfig.instance()
    before = current.cfg
    current.set_config(shared)
    configure_log(shared.hydra.job_logging, shared.hydra.verbose)
    try:
        with env_override(dict(shared.hydra.job.env_set)):
            yield
    finally:
        current.cfg = before


def _compose(
    function: BatchFunction, hydra_context: HydraContext, overrides: list[list[str]], first: int
) -> Batch:
    loader = cast(SweepLoader, hydra_context.config_loader)
    new_job = partial(Job, loader, str(Path.cwd()), JobRuntime.instance().get("name"))
    jobs: list[JobReturn] = [new_job(each, number) for number, each in enumerate(overrides, first)]
    batch = Batch(first, jobs, [], [])
    composing = step("composing", len(jobs), "jobs", len(jobs))
    with _no_collecting(), bar(len(jobs), {"composing": None}), composing as reached:
        for number, job in enumerate(jobs, first):
            reached(number - first + 1)
            mine = overrides[number - first]
            try:
                batch.configs.append(loader.job_config(mine, number))
            except Exception as error:
                _finish(job, error)
                continue
            whole = Deferred(partial(loader.hydra_config, mine, number))
            batch.composed.append((job, whole))
            hydra_context.callbacks.on_job_start(whole, task_function=function)
    return batch


@contextmanager
def _no_collecting() -> Iterator[None]:
    """Spare the garbage collector the configs in the making: many objects, none of them garbage.

    Looking through them again and again took longer than composing them.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _rarely_collected() -> Iterator[None]:
    """Let the garbage collector ignore what is alive already, and look seldom at what is made meanwhile.

    A function that handles thousands of results makes many objects and little cyclic garbage.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


class Job(JobReturn):
    """A job of a sweep, whose configs compose themselves when they are looked at.

    They are made when asked for: a sweep has jobs by the thousand, and hardly anybody asks. Without them, and
    with all attributes set as it begins, a job takes 172 bytes.
    """

    def __init__(
        self, loader: SweepLoader, working_dir: str, task_name: str, overrides: list[str], number: int
    ) -> None:
        self.loader, self.number = loader, number
        self.working_dir, self.task_name, self.overrides = working_dir, task_name, overrides
        self.status, self._return_value = JobStatus.UNKNOWN, None

    @cached_property
    def cfg(self) -> DictConfig:  # type: ignore[override]  # which can be set there
        """What its task is given."""
        return Deferred(partial(self.loader.job_config, list(self.overrides or ()), self.number))

    @cached_property
    def hydra_cfg(self) -> DictConfig:  # type: ignore[override]
        """Its `hydra` node alone."""
        return Deferred(self._hydra_only)

    def _hydra_only(self) -> DictConfig:
        whole = self.loader.hydra_config(list(self.overrides or ()), self.number)
        return OmegaConf.masked_copy(whole, "hydra")


def _finish(job: JobReturn, result: Any) -> None:
    job.status = JobStatus.FAILED if isinstance(result, Exception) else JobStatus.COMPLETED
    job.return_value = result


def run_job(function: BatchFunction, configs: list[DictConfig]) -> list[Any]:
    """Call the function; return as many results as there are configs, exceptions among them.

    Named like Hydra's own `run_job`: of a traceback, Hydra shows what lies below that name.
    """
    if not configs:
        return []
    try:
        returned = function(configs)
        results = list(returned) if isinstance(returned, Iterable) else []
        if len(results) != len(configs):
            raise ValueError(
                f"{function.__name__} must return one result per config, in the same order: "
                f"it was given {len(configs)} configs and returned {len(results)} results"
            )
    except Exception as error:
        return [error] * len(configs)
    return results


class FailedJob(JobReturn):
    """A failed job among others: who looks at its value learns of them all.

    Hydra's own would write a line to stderr for the one that a sweeper looks at first.
    """

    def __init__(self, job: JobReturn, all_failed: JobsFailedError) -> None:
        self.__dict__.update(job.__dict__, cfg=job.cfg, hydra_cfg=job.hydra_cfg)
        self.all_failed = all_failed

    @property
    def return_value(self) -> Any:
        """Raises JobsFailedError, from what this job raised."""
        raise self.all_failed from self._return_value

    @return_value.setter
    def return_value(self, value: Any) -> None:
        self._return_value = value


def with_failures(jobs: Sequence[JobReturn], first: int, hidden: Collection[str]) -> list[JobReturn]:
    """The jobs of one launch, numbered from `first`, the failed ones as FailedJob.

    Overrides of the `hidden` keys are the same for all jobs, or the application's own.
    """
    failures = [
        Failure(
            number, tuple(one for one in job.overrides or () if _key(one) not in hidden), job._return_value
        )
        for number, job in enumerate(jobs, first)
        if job.status is JobStatus.FAILED
    ]
    all_failed = JobsFailedError(failures, len(jobs))
    return [FailedJob(job, all_failed) if job.status is JobStatus.FAILED else job for job in jobs]


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")
