"""What a sweep that goes through a batch function gets, in results, failures and surroundings."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from hydra_plugins.batch_launcher import JobsFailedError

from .conftest import own_singletons

CONFIG = "a: 1\nb: ${a}\nnumber: ${hydra:job.num}\nplace: ${oc.env:BATCH_PLACE,nowhere}\n"
seen: list[list[DictConfig]] = []


def product(configs: list[DictConfig]) -> list[Any]:
    seen.append(configs)
    return [config.a * 10 + config.number for config in configs]


def surroundings(configs: list[DictConfig]) -> list[Any]:
    logging.getLogger("task").info("in the task")
    return [(config.place, HydraConfig.get().sweep.dir) for config in configs]


def picky(configs: list[DictConfig]) -> list[Any]:
    return [ValueError(f"a={c.a} is odd\nsay why") if c.a % 2 else c.a for c in configs]


def refuses_two(configs: list[DictConfig]) -> list[Any]:
    if any(config.a == 2 for config in configs):
        raise RuntimeError("no twos")
    return [config.a for config in configs]


def forgets_one(configs: list[DictConfig]) -> list[Any]:
    return [config.a for config in configs][1:]


def interrupted(configs: list[DictConfig]) -> list[Any]:
    raise KeyboardInterrupt(len(configs))


def returns_nothing(configs: list[DictConfig]) -> None:
    assert configs


class Sweeps:
    """Runs sweeps over a one-file config in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "config.yaml").write_text(CONFIG)

    def __call__(self, function: Any, *overrides: str) -> list[JobReturn]:
        with initialize_config_dir(str(self.folder), "launched", version_base="1.3"):
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            batches = hydra.multirun(
                config_name="config",
                task_function=lambda config: config.a,
                overrides=[
                    *("hydra/launcher=batch", f"hydra.sweep.dir={self.folder / 'swept'}"),
                    f"hydra.launcher.function={__name__}.{function.__name__}",
                    *overrides,
                ],
            )
        return [job for batch in batches for job in batch]

    def launch(self, function: Any, *jobs: str, batch_size: int = 1000) -> list[JobReturn]:
        """The same, without a sweeper that would raise the first failure."""
        with initialize_config_dir(str(self.folder), "launched", version_base="1.3"):
            launcher = self._launcher(function, batch_size)
            return list(launcher.launch([job.split() for job in jobs], initial_job_idx=5))

    def _launcher(self, function: Any, batch_size: int) -> Launcher:
        from hydra._internal.callbacks import Callbacks
        from hydra.types import HydraContext, RunMode

        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        config = hydra.config_loader.load_configuration(
            "config",
            [
                *("hydra/launcher=batch", f"hydra.sweep.dir={self.folder / 'swept'}"),
                f"hydra.launcher.function={__name__}.{function.__name__}",
                *("hydra.mode=MULTIRUN", f"hydra.launcher.batch_size={batch_size}"),
            ],
            RunMode.MULTIRUN,
        )
        context = HydraContext(hydra.config_loader, Callbacks(config))
        return Plugins.instance().instantiate_launcher(context, product, config)


@pytest.fixture
def sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweeps]:
    handlers, level = logging.root.handlers[:], logging.root.level
    monkeypatch.chdir(tmp_path)
    seen.clear()
    with own_singletons():
        yield Sweeps(tmp_path)
    for handler in set(logging.root.handlers) - set(handlers):
        handler.close()
    logging.root.handlers[:], logging.root.level = handlers, level


@pytest.mark.slow
def test_a_job_behind_takes_little_memory(sweeps: Sweeps) -> None:
    """All are there until the end of the sweep: 172 bytes, beside the overrides; 1,076 with configs to be."""
    few, many = (_freed_with(sweeps, number) for number in (50, 250))
    assert 100 < (many - few) / 200 < 600


def _freed_with(sweeps: Sweeps, number: int) -> int:
    """Bytes that so many jobs hold when their launch has ended."""
    gc.freeze()  # what else this process holds takes the collector a second
    tracemalloc.start()
    try:
        jobs = sweeps.launch(refuses_two, *[f"a={value}" for value in range(1000, 1000 + number)])
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        del jobs
        gc.collect()
        return before - tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.unfreeze()


def test_results_come_back_job_by_job(sweeps: Sweeps) -> None:
    jobs = sweeps(product, "a=3,5,7")
    assert [job.return_value for job in jobs] == [30, 51, 72]
    assert [job.overrides for job in jobs] == [["a=3"], ["a=5"], ["a=7"]]
    assert {job.status for job in jobs} == {JobStatus.COMPLETED}
    assert {job.task_name for job in jobs} == {"launched"}
    assert gc.isenabled()


def test_a_return_holds_the_configs_of_its_job(sweeps: Sweeps) -> None:
    job = sweeps(product, "a=3,5")[1]
    assert isinstance(job.cfg, DictConfig)
    assert job.cfg == {"a": 5, "b": 5, "number": 1, "place": "nowhere"}
    assert type(job.cfg) is DictConfig
    assert isinstance(job.hydra_cfg, DictConfig)
    assert list(job.hydra_cfg) == ["hydra"]
    assert job.hydra_cfg.hydra.job.num == 1
    assert job.hydra_cfg.hydra.job.id == "1"
    assert job.hydra_cfg.hydra.overrides.task == ["a=5"]
    assert job.hydra_cfg.hydra.runtime.output_dir == str(sweeps.folder / "swept" / "1")


def test_batches_hold_at_most_batch_size_configs(sweeps: Sweeps) -> None:
    jobs = sweeps(product, "a=range(7)", "hydra.launcher.batch_size=3")
    assert [len(configs) for configs in seen] == [3, 3, 1]
    assert [job.return_value for job in jobs] == [11 * a for a in range(7)]


def test_job_numbers_go_on_over_the_sweepers_own_batches(sweeps: Sweeps) -> None:
    jobs = sweeps(product, "a=0,0,0", "hydra.sweeper.max_batch_size=2")
    assert [job.return_value for job in jobs] == [0, 1, 2]


def test_no_folder_per_job(sweeps: Sweeps) -> None:
    sweeps(product, "a=1,2")
    names = sorted(path.name for path in (sweeps.folder / "swept").iterdir())
    assert names == ["launched.log", "multirun.yaml"]


def test_surroundings_are_those_of_the_sweep(sweeps: Sweeps, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = sweeps(surroundings, "a=1,2", "+hydra.job.env_set.BATCH_PLACE=here")
    assert {job.return_value for job in jobs} == {("here", str(sweeps.folder / "swept"))}
    assert "BATCH_PLACE" not in os.environ
    assert not HydraConfig.initialized()
    assert "in the task" in (sweeps.folder / "swept" / "launched.log").read_text()
    assert "in the task" in capsys.readouterr().out


def test_a_failed_job_leaves_the_others_alone(sweeps: Sweeps) -> None:
    """Who looks at one failure learns of them all."""
    jobs = sweeps.launch(picky, "a=1", "a=2", "a=3", batch_size=2)
    assert [job.status.name for job in jobs] == ["FAILED", "COMPLETED", "FAILED"]
    assert jobs[1].return_value == 2
    with pytest.raises(JobsFailedError) as failed:
        _ = jobs[2].return_value
    assert str(failed.value) == (
        "2 of 3 jobs failed:\n"
        "  job 5 (a=1): ValueError: a=1 is odd\n    say why\n"
        "  job 7 (a=3): ValueError: a=3 is odd\n    say why"
    )
    assert [(each.number, each.overrides) for each in failed.value.failures] == [(5, ("a=1",)), (7, ("a=3",))]
    assert str(failed.value.__cause__).startswith("a=3 is odd")
    assert str(pickle.loads(pickle.dumps(failed.value))) == str(failed.value)


def test_a_batch_that_raises_fails_as_a_whole_and_the_next_runs(sweeps: Sweeps) -> None:
    jobs = sweeps.launch(refuses_two, "a=1", "a=2", "a=3", batch_size=2)
    assert [job.status.name for job in jobs] == ["FAILED", "FAILED", "COMPLETED"]
    with pytest.raises(JobsFailedError, match="RuntimeError: no twos"):
        _ = jobs[0].return_value


def test_a_config_that_is_wrong_fails_its_own_job(sweeps: Sweeps) -> None:
    jobs = sweeps.launch(product, "a=1", "nosuch=1", "a=3")
    assert [job.status.name for job in jobs] == ["COMPLETED", "FAILED", "COMPLETED"]
    assert jobs[2].return_value == 37
    with pytest.raises(JobsFailedError, match=r"job 6 \(nosuch=1\): ConfigCompositionException"):
        _ = jobs[1].return_value


def test_a_sweep_with_a_wrong_override_does_not_start(sweeps: Sweeps) -> None:
    with pytest.raises(Exception, match="Could not override 'nosuch'"):
        sweeps(product, "a=1,2", "nosuch=1")
    assert seen == []


@pytest.mark.parametrize(
    ("function", "returned"), [(forgets_one, "1 results"), (returns_nothing, "0 results")]
)
def test_a_wrong_number_of_results_is_an_error(sweeps: Sweeps, function: Any, returned: str) -> None:
    jobs = sweeps.launch(function, "a=1", "a=2")
    for job in jobs:
        with pytest.raises(JobsFailedError, match=f"given 2 configs and returned {returned}"):
            _ = job.return_value


def test_an_interrupt_goes_through_and_leaves_nothing_behind(sweeps: Sweeps) -> None:
    with pytest.raises(KeyboardInterrupt):
        sweeps(interrupted, "a=1,2", "+hydra.job.env_set.BATCH_PLACE=here")
    assert "BATCH_PLACE" not in os.environ
    assert not HydraConfig.initialized()


def test_without_a_function_the_task_runs_config_by_config(sweeps: Sweeps) -> None:
    jobs = sweeps(product, "a=3,5", "hydra.launcher.function=null")
    assert [job.return_value for job in jobs] == [3, 5]
    assert (sweeps.folder / "swept" / "1" / ".hydra" / "config.yaml").is_file()


class Diary(Callback):
    lines: list[str] = []  # noqa: RUF012 - Hydra makes its own instance, the test reads the class

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        self.lines.append(f"start {config.hydra.job.num} a={config.a}")

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        self.lines.append(f"end {config.hydra.job.num} {job_return.return_value}")


def test_callbacks_hear_of_every_job(sweeps: Sweeps) -> None:
    Diary.lines.clear()
    sweeps(product, "a=3,5", f"+hydra.callbacks.diary._target_={__name__}.Diary")
    assert Diary.lines == ["start 0 a=3", "start 1 a=5", "end 0 30", "end 1 51"]


def test_a_batch_size_below_one_is_refused(sweeps: Sweeps) -> None:
    with pytest.raises(Exception, match="batch_size must be at least 1, not 0"):
        sweeps(product, "a=1,2", "hydra.launcher.batch_size=0")
