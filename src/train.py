"""Calibrate an instrument by gradient descent, every run on record in MLflow.

    python -m src.train                                   # one run: the book's
    python -m src.train -m lr=1e-2,1e-3                   # a sweep
    python -m src.train -m lr=1e-2,1e-3 normalization=none,scale,zscore epochs=500,5000
    python -m src.train -m lr=1e-2,1e-3 register=NAME     # and the best run's model under a name
    python -m src.train resume=latest                     # the latest sweep that ended early goes on
    python -m src.train -m lr=1e-2,1e-3 dry=true          # what it would come to, nothing trained
    python -m src.train repeat=RUN                        # a run on record once more: the same to the bit?
    python -m src.train --help                            # every setting

Exit codes: 0, diverged runs included; 1 where some jobs of a sweep failed, or a repeated run came out
another; 2 for a mistake, with nothing recorded; 130, 143 and 129 when interrupted, with what was reached on
record.

Nothing heavy is imported until the settings are known to be right, so that a mistake answers within a second.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from hydra_plugins.batch_launcher import many_numbers, step

from . import early, heavy, repeat  # noqa: F401  (early is to be imported, that is all)
from .config import ConfigError, Known, check
from .launch import Launch, where_it_began
from .settings import Origin, Settings
from .terminal import interrupts
from .terminal.command import attempt, run_command
from .terminal.errors import PageError, TrainingError, attempt_each
from .terminal.progress import sweep_bar
from .workplace import require_temporary_folder, sweep_begun

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from .fit.forecast import Forecast
    from .tracking.record import Status

    Outcome = float | Forecast | Exception

STATUS: dict[int, Status] = {0: "FINISHED", 1: "FAILED", 2: "FINISHED"}  # a sweep's, by its jobs' exit code


def train(cfgs: Sequence[DictConfig]) -> list[Outcome]:
    """Train and record one run per config; for each its final loss, infinity where it diverged.

    Of a dry one its forecast, and nothing is trained nor recorded.

    Several configs that belong to no sweep are one of their own. A config that is wrong gives a ConfigError
    in its place, and the others go on; an error in the training gives a TrainingError, with the runs on
    record as FAILED.
    """
    with step("checking", len(cfgs), "jobs", len(cfgs)) as reached:
        settings, failed = attempt_each(partial(_check, known={}), dict(enumerate(cfgs)), reached)
    results: dict[int, Outcome] = {**failed}
    if len(settings) > 1 and not any(each.origin.sweep for each in settings.values()):
        results |= _train_as_sweep(cfgs, settings)
    elif settings:
        try:
            _load()
            results |= heavy.pipeline.run(settings)
        except (ConfigError, PageError) as error:  # no home for MLflow, as it is imported; or no page
            results |= dict.fromkeys(settings, error)
    return [results[index] for index in range(len(cfgs))]


def _load() -> None:
    """What takes seconds, as a step of its own."""
    with step("loading torch and MLflow"):
        _ = heavy.pipeline


def _check(cfg: DictConfig, known: Known) -> Settings:
    settings = check(cfg, known)
    if settings.resume and not settings.origin.sweep:
        raise ConfigError(
            "resume is for sweeps: give resume=latest or the name of one, or add -m and the values it is over"
        )
    return settings


def _train_as_sweep(cfgs: Sequence[DictConfig], settings: dict[int, Settings]) -> dict[int, Outcome]:
    first = next(iter(settings))
    status: Status = "KILLED"
    config = repeat.of_points(cfgs[first], list(settings.values()))
    with sweep_begun(config, len(settings) if config else None) as origin, sweep_bar(len(settings)):
        jobs = {index: each.in_sweep(origin, index) for index, each in settings.items()}
        try:
            _load()
            results = heavy.pipeline.run(jobs)
            status = STATUS[any(isinstance(each, TrainingError) for each in results.values())]
        finally:
            with interrupts.deferred():
                if origin.lock.exists():
                    heavy.pipeline.end_sweep(origin, status, settings[first].register_as)
        return results


def job(cfg: DictConfig) -> Outcome:
    """One job of Hydra's: any launcher calls it once per point of a sweep."""
    with where_it_began():
        [result] = train([cfg])
    if isinstance(result, Exception) and cfg.origin.sweep:
        raise result
    return result  # of a run on its own, Hydra would print an error in its own way


def command() -> int:
    """What `python -m src.train` does; returns the exit code."""
    gc.set_threshold(100_000)  # a sweep makes objects by the million, and hardly a cycle among them
    with interrupts.raising() as arrived:
        return run_command(lambda: _launch(sys.argv[1:], arrived))


def _launch(arguments: Sequence[str], arrived: interrupts.Raising) -> int:
    with many_numbers(), Launch(arguments) as launch:
        if launch.tell():
            return 0
        require_temporary_folder()
        if isinstance(launch.resume, str):
            return _launch_from_record(launch, launch.resume, arrived)
        if launch.repeat:
            return _repeat(launch.repeat)
        if launch.is_dry:
            return _forecast(launch)
        if launch.is_sweep:
            return _launch_sweep(launch, arrived)
        result = launch.run(job)
    if isinstance(result, Exception):
        raise result
    return 0


def _forecast(launch: Launch) -> int:
    """What the run or the sweep would come to; nothing is on record of it."""
    if launch.is_sweep:
        with sweep_begun("", None) as origin:
            found = launch.sweep(job, origin)
    else:
        found = [launch.run(job)]
    for each in found:
        if isinstance(each, Exception):
            raise each
    heavy.forecasts.show(found)
    return 0


def _repeat(named: str) -> int:
    """A run on record is trained again from that alone; the exit code is 1 where it comes out another."""
    found = heavy.pipeline.repeat_run(named)
    heavy.repetitions.show(found)
    return 1 if found.differences else 0


def _launch_from_record(launch: Launch, which: str, arrived: interrupts.Raising) -> int:
    """A sweep that ended early goes on with the settings that are on record of it."""
    name, config = heavy.resume.named(which)
    with launch.of_record(name, config) as recorded:
        return _launch_sweep(recorded, arrived, name)


def _launch_sweep(launch: Launch, arrived: interrupts.Raising, name: str = "") -> int:
    """A new sweep, or one that goes on: of this name, or of the same settings where that is asked for."""
    register, jobs, config = launch.register, launch.jobs, repeat.of_sweep(launch.config)
    if jobs is None and (name or launch.resume):
        raise ConfigError("there is nothing to resume: this sweeper proposes its points anew each time")
    if launch.resume:
        name = heavy.resume.latest_like(config)
    with sweep_begun(config, jobs, name) as origin, sweep_bar(jobs):
        if name:
            heavy.resume.claim(origin)

        def run_jobs() -> None:
            launch.sweep(job, origin)

        code = attempt(run_jobs)
        with interrupts.deferred():
            return _end(origin, arrived.exit_code or code, register)


def _end(origin: Origin, code: int, register: str | None) -> int:
    """The exit code of a sweep whose jobs ended with one."""
    if origin.lock.exists():
        gc.freeze()  # or every collection looks through all that the training has left
        heavy.pipeline.end_sweep(origin, STATUS.get(code, "KILLED"), register)
        return 1 if code == 2 else code  # a mistake in some jobs, and others on record
    if code == 0:
        raise ConfigError("the sweep is over nothing: one of its settings has no values")
    return code


if __name__ == "__main__":
    exit_code = command()
    gc.freeze()  # or the interpreter spends a second looking for garbage in torch and MLflow as it ends
    sys.exit(exit_code)
