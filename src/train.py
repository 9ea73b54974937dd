"""Calibrate an instrument by gradient descent, every run on record in MLflow.

    python -m src.train                                   # one run: the book's
    python -m src.train -m lr=1e-2,1e-3                   # a sweep
    python -m src.train -m lr=1e-2,1e-3 normalization=none,scale,zscore epochs=500,5000
    python -m src.train -m lr=1e-2,1e-3 register=NAME     # and the best run's model under a name
    python -m src.train --help                            # every setting

Exit codes: 0, diverged runs included; 1 where some jobs of a sweep failed; 2 for a mistake, with nothing
recorded; 130 and 143 when interrupted, with what was reached on record.

This is the composition root: it alone knows all the rooms. torch, pandas and MLflow are imported only
once the settings are known to be right, so that a mistake answers within a second.
"""

from __future__ import annotations

import gc
import json
import os
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import hydra
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig

from .config import ConfigError, check
from .terminal import errors, interrupts
from .terminal.errors import PageError, TrainingError

if TYPE_CHECKING:
    from .fit.plan import Calibration, Run
    from .loop import LossCurves
    from .tracking.record import Status, TrackedRun
    from .tracking.store import Store
    from .tracking.sweep import Marker, Sweep

TOLD = "told by the launcher"  # the note on an error that hydra_plugins/batch_launcher has printed

A = TypeVar("A")
B = TypeVar("B")

CONF = Path(__file__).resolve().parents[1] / "conf"
SWEEP_DIR = "CALIBRATION_SWEEP_DIR"  # the folder that a sweep's jobs share; unset for a single run


def train(cfgs: Sequence[DictConfig]) -> list[float | Exception]:
    """Train and record one run per config; for each its final loss, infinity where it diverged.

    A config that is wrong gives a ConfigError in its place, and the others go on; an error in the
    training gives a TrainingError, with the runs on record as FAILED.
    """
    settings, refused = _sorted_out(check, dict(enumerate(cfgs)))
    if not settings:
        return [refused[index] for index in range(len(cfgs))]
    from .data import load
    from .fit.plan import Bench

    runs, unprepared = _sorted_out(Bench(load).prepare, settings)
    results: dict[int, float | Exception] = {**refused, **unprepared}
    for experiment in dict.fromkeys(run.settings.tracking.experiment for run in runs.values()):
        mine = {i: run for i, run in runs.items() if run.settings.tracking.experiment == experiment}
        try:
            results |= zip(mine, _train_and_record(list(mine.values()), experiment), strict=True)
        except ConfigError as error:  # the store cannot be opened
            results |= dict.fromkeys(mine, error)
    return [results[index] for index in range(len(cfgs))]


def _sorted_out(step: Callable[[A], B], given: dict[int, A]) -> tuple[dict[int, B], dict[int, Exception]]:
    """What the step makes of each, and how it fails: one job's failure is not its neighbours'."""
    made: dict[int, B] = {}
    refused: dict[int, Exception] = {}
    for index, one in given.items():
        try:
            made[index] = step(one)
        except Exception as error:
            refused[index] = error
    return made, refused


def _train_and_record(runs: list[Run], experiment: str) -> list[float | Exception]:
    from .terminal import progress
    from .tracking import record
    from .tracking.store import open_store
    from .tracking.sweep import parent_run
    from .tracking.writer import open_writer

    store = open_store(experiment)
    writer = open_writer(store)
    sweep_dir = os.environ.get(SWEEP_DIR)
    with interrupts.deferred() as stop:
        parent_id = None
        if sweep_dir:
            parent_id = parent_run(store, Path(sweep_dir), runs[0])
        start_ms = _now_ms()
        try:
            done: list[Calibration] | Exception = _calibrate(runs, stop)
        except Exception as error:
            done = error
        session = record.Session(start_ms, _now_ms(), parent_id, sweep_dir and Path(sweep_dir).name)
        if isinstance(done, Exception):
            writer.write([record.of_crash(run, session, done) for run in runs])
            crash = TrainingError(f"{type(done).__name__}: {done}")
            crash.__cause__ = done
            return [crash] * len(runs)
        with progress.bar("recording", "runs", len(runs)) as reached:
            ids = writer.write([record.of_calibration(one, session) for one in done], reached)
        if not sweep_dir:
            _finish_run(store, done[0], ids[0])
        return [calibration.objective for calibration in done]


def _finish_run(store: Store, calibration: Calibration, run_id: str) -> None:
    """What a single run has beyond its record: its lines on the screen, its graph and its model."""
    from .report import page, table
    from .tracking import reader

    table.print_calibration(calibration, store.run_page(run_id), store.how_to_serve)
    try:
        with tempfile.TemporaryDirectory() as files:
            page.write_graph(Path(files), calibration.run)
            store.client.log_artifacts(run_id, files)
        _keep_model(store, [reader.get(store, run_id)], calibration.run.settings.register_as)
    except Exception as error:
        told = errors.explain(error)
        raise PageError(f"the run is on record, but not all of its page: {told}") from error


def _keep_model(store: Store, runs: Sequence[TrackedRun], register: str | None) -> None:
    """Log the model of the first of these runs, and register it where that is asked for."""
    from .report import table
    from .tracking import model

    usable = [run for run in runs if run.outcome in ("converged", "stopped")]
    if usable:
        table.print_model(model.log(store, usable[0], register).uri)
    elif register:
        print(f"model        none: no run has a calibration, so nothing is registered as {register}")


def _now_ms() -> int:
    return int(time.time() * 1000)


def _calibrate(runs: list[Run], stop: Callable[[], bool]) -> list[Calibration]:
    """A single run prints the chapter's lines, ten of them however many epochs; many show a bar."""
    from .fit.plan import calibrate, tenths
    from .loop import print_loss
    from .terminal import progress

    settings = runs[0].settings
    if len(runs) > 1:
        with progress.bar("training", "epochs", max(run.settings.epochs for run in runs)) as reached:
            return calibrate(runs, lambda epoch, curves: reached(epoch), stop)
    shown = tenths(settings.epochs) if SWEEP_DIR not in os.environ else set()

    def show(epoch: int, curves: LossCurves) -> None:
        if epoch in shown:
            print_loss(epoch, curves)

    return calibrate(runs, show, stop)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def main(cfg: DictConfig) -> float:
    """One job of Hydra's: any launcher calls it once per point of a sweep."""
    [result] = train([cfg])
    if isinstance(result, ConfigError) and SWEEP_DIR not in os.environ:
        raise Refused(result)  # past Hydra, which would print a line of its own
    if isinstance(result, Exception):
        raise result
    return result


class Refused(BaseException):
    """A ConfigError of a single run."""


def command() -> int:
    """What `python -m src.train` does; returns the exit code."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors on instead of printing them
    os.environ.pop(SWEEP_DIR, None)
    prefix = time.strftime("sweep-%Y-%m-%d-%H%M%S-")
    with interrupts.raising():
        try:
            with tempfile.TemporaryDirectory(prefix=prefix) as folder:
                code, status = _run(Path(folder))
                return _finish(Path(folder), code, status)
        except interrupts.Interrupted as interrupt:
            return interrupt.exit_code


def _run(folder: Path) -> tuple[int, Status]:
    """Hand over to Hydra; the exit code, and the status of a sweep that was begun."""
    try:
        overrides = _sweep_overrides()
        if overrides is not None:
            os.environ[SWEEP_DIR] = str(folder)
            (folder / "overrides.json").write_text(json.dumps(overrides))
        main()
    except interrupts.Interrupted as interrupt:
        print(f"\nstopped by {interrupt}", file=sys.stderr)
        return interrupt.exit_code, "KILLED"
    except (Exception, Refused) as error:
        mistake = error.args[0] if isinstance(error, Refused) else error
        if isinstance(mistake, PageError):
            print(f"error: {mistake}", file=sys.stderr)
            return 1, "FINISHED"
        if isinstance(mistake, TrainingError) or (not isinstance(mistake, ConfigError) and _reached(mistake)):
            traceback.print_exception(mistake.__cause__ or mistake)
            return 1, "FAILED"
        if TOLD not in getattr(mistake, "__notes__", ()):
            print(f"error: {errors.explain(mistake)}", file=sys.stderr)
        return 2, "FINISHED"
    return 0, "FINISHED"


def _reached(error: BaseException) -> bool:
    """Whether the error was raised in the training: if not, Hydra refused the command line."""
    ours = (train.__code__, _sorted_out.__code__, _train_and_record.__code__)
    return any(frame.f_code in ours for frame, _ in traceback.walk_tb(error.__traceback__))


def _finish(folder: Path, code: int, status: Status) -> int:
    """End the sweep's parent runs and print their tables; the exit code that results."""
    with interrupts.deferred():
        if not any(folder.glob("parent-*")):
            return code
        from .tracking.sweep import begun

        code = 1 if code == 2 else code  # a mistake in some jobs, and others on record
        gc.freeze()  # or every collection looks through all that the training has left
        for marker in begun(folder):
            try:
                _finish_sweep(folder, marker, status)
            except Exception as error:
                told = f"the runs are on record, but not all of their page: {errors.explain(error)}"
                print(f"error: experiment {marker.experiment}: {told}", file=sys.stderr)
                code = code or 1
        return code


def _finish_sweep(folder: Path, marker: Marker, status: Status) -> None:
    """Show a sweep's runs, write its page and keep the best run's model; whatever fails, it is ended."""
    from .report import page, table
    from .tracking.sweep import Sweep

    sweep = Sweep.of(marker, folder)
    store = sweep.store
    with tempfile.TemporaryDirectory() as name:
        files = Path(name)
        try:
            runs = table.ranked(sweep.runs())
            table.print_comparison(runs, _publish(sweep, runs), store.how_to_serve)
            _keep_model(store, runs, marker.register)
            page.write(files, sweep.title, runs, store)
        finally:
            sweep.end(status, files)


def _publish(sweep: Sweep, runs: Sequence[TrackedRun]) -> str:
    """The address at which MLflow's page shows a sweep, ready to read."""
    from .report import table
    from .tracking import reader, view

    best = [run.run_id for run in runs[: view.MOST_CURVES]]
    losses = [losses for _, losses in reader.curves(sweep.store, best).values()]
    names, settings = table.parameter_names(runs), table.columns(runs)
    return view.publish(sweep.store, sweep.name, names, losses, settings)


def _sweep_overrides() -> list[str] | None:
    """What a sweep is over, None for a single run.

    Reads the flags ahead of Hydra, whose parser would tell a wrong one with a screenful.
    """

    def refuse(message: str) -> NoReturn:
        raise ConfigError(f"{message}; see python -m src.train --help")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    flags = parser.parse_args()
    modes = {"--run": flags.run, "--multirun": flags.multirun, "--cfg": flags.cfg, "--info": flags.info}
    given = [flag for flag, value in modes.items() if value]
    if len(given) > 1:
        refuse(f"{' and '.join(given)} exclude each other")
    if swept := [each for each in flags.overrides if re.match(r"\+*register=.*,", each)]:
        refuse(f"{swept[0]}: a sweep registers the model of its best run, under one name")
    if flags.multirun or any(re.fullmatch(r"\+{0,2}hydra\.mode=MULTIRUN", each) for each in flags.overrides):
        return [each for each in flags.overrides if not re.match(r"[+~]*hydra[./]", each)]
    return None


if __name__ == "__main__":
    exit_code = command()
    gc.freeze()  # or the interpreter spends a second looking for garbage in torch and MLflow as it ends
    sys.exit(exit_code)
