"""What Hydra discovers: the launcher, its settings and where its config lies.

Hydra imports this module at every start, sweep or not, so everything heavy waits in `_launch`.
No `from __future__ import annotations` here: Hydra executes the module before it is in
`sys.modules`, where a dataclass would look up its annotations' names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.core_plugins import basic_launcher
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class BatchLauncherConf:
    """Settings under `hydra.launcher`."""

    _target_: str = "hydra_plugins.batch_launcher.batch_launcher.BatchLauncher"
    # Dotted path of a function from a list of configs to as many results; null: the task
    # function, config by config.
    function: str | None = None
    # At most so many configs are alive, and handed over, at once.
    batch_size: int = 1000


# Not named "batch": Hydra warns about any config file that shares its name with a stored schema,
# and a project will want a hydra/launcher/batch.yaml of its own.
ConfigStore.instance().store(
    group="hydra/launcher", name="base_batch", node=BatchLauncherConf, provider="batch_launcher"
)


class BatchLauncherSearchPath(SearchPathPlugin):
    """Makes `hydra/launcher=batch` known to every application, behind its own configs."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append this plugin's `conf`."""
        conf = Path(__file__).parent / "conf"
        search_path.append("batch_launcher", f"file://{conf.as_posix()}")


class BatchLauncher(basic_launcher.BasicLauncher):
    """Hands the configs of a sweep, `batch_size` at a time, to `function`.

    Without a function it is the stock launcher, only that it composes faster and says at the end
    which jobs failed.
    """

    def __init__(self, function: str | None = None, batch_size: int = 1000) -> None:
        """Take the settings of `BatchLauncherConf`."""
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"hydra.launcher.batch_size must be at least 1, not {batch_size}")
        self.function = function
        self.batch_size = batch_size

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take the sweep's context, and put the quick loader into it.

        The sweeper holds the same context and validates every job through its loader, before
        `launch` composes them.
        """
        from ._compose import SweepLoader

        hydra_context.config_loader = SweepLoader(hydra_context.config_loader.get_search_path(), config)
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs; who looks at a failed one's value gets JobsFailedError, which holds every failure."""
        from ._launch import here, launch_batches, with_failures

        assert self.config is not None
        hidden = self.config.hydra.job.config.override_dirname.exclude_keys
        if self.function is None:
            returns = super().launch(job_overrides, initial_job_idx)
        else:
            assert self.hydra_context is not None
            returns = launch_batches(
                self.function,
                here(self.function),
                self.batch_size,
                self.hydra_context,
                self.config,
                job_overrides,
                initial_job_idx,
            )
        return with_failures(returns, initial_job_idx, hidden)
