"""What Hydra discovers: the launcher, its settings and where its config lies.

Hydra imports this module at every start, sweep or not, so everything heavy waits in `_cluster`. No
`from __future__ import annotations` here: Hydra executes the module before it is in `sys.modules`, where a
dataclass would look up its annotations' names.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import MISSING

from hydra_plugins.batch_launcher import batch_launcher

from ._wanted import ClusterError, Wanted


@dataclass
class DaskLauncherConf:
    """Settings under `hydra.launcher`; README.md says more of each."""

    _target_: str = "hydra_plugins.dask_launcher.dask_launcher.DaskLauncher"
    # Dotted paths of three functions: what is sent for a batch (here), the work (there), what is done with
    # what returns (here).
    send: str = MISSING
    work: str = MISSING
    receive: str = MISSING
    # The scheduler's address, as tcp://HOST:8786; null: processes of this machine.
    scheduler: str | None = None
    # How many processes of this machine; null: one for each processor.
    workers: int | None = None
    # At most so many configs travel together.
    batch_size: int = 1000
    # So many workers may die of a batch before it is given up.
    attempts: int = 2
    # What a worker must have to do a batch, as {GPU: 1}.
    resources: dict[str, float] = field(default_factory=dict)
    # Packages whose versions must be the same there as here.
    packages: list[str] = field(default_factory=list)
    # So long a scheduler and a worker are waited for, in seconds.
    wait_s: float = 30


# Not named "dask": Hydra warns about any config file that shares its name with a stored schema.
ConfigStore.instance().store(
    group="hydra/launcher", name="base_dask", node=DaskLauncherConf, provider="dask_launcher"
)


class DaskLauncherSearchPath(SearchPathPlugin):
    """Makes `hydra/launcher=dask` known to every application, behind its own configs."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append this plugin's `conf`."""
        conf = Path(__file__).parent / "conf"
        search_path.append("dask_launcher", f"file://{conf.as_posix()}")


class DaskLauncher(batch_launcher.BatchLauncher):
    """Hands the configs of a sweep, `batch_size` at a time, to the workers of a cluster."""

    def __init__(
        self,
        send: str,
        work: str,
        receive: str,
        scheduler: str | None = None,
        workers: int | None = None,
        batch_size: int = 1000,
        attempts: int = 2,
        resources: Mapping[str, float] | None = None,
        packages: Sequence[str] = (),
        wait_s: float = 30,
    ) -> None:
        """Take the settings of `DaskLauncherConf`."""
        super().__init__(work, batch_size)
        for name, number in {"workers": workers, "attempts": attempts}.items():
            if number is not None and number < 1:
                raise ValueError(f"hydra.launcher.{name} must be at least 1, not {number}")
        self.send, self.work, self.receive = send, work, receive
        # plain: a DictConfig would travel with the whole config
        plain = {str(name): float(amount) for name, amount in (resources or {}).items()}
        self.wanted = Wanted(work, scheduler, workers, attempts, plain, tuple(map(str, packages)), wait_s)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs; raises ClusterError before any is sent, ConnectionError for a lost scheduler."""
        from hydra_plugins.batch_launcher._launch import launch_batches, with_failures

        from ._signals import held

        try:
            from ._cluster import connected
            from ._engine import Engine
        except ModuleNotFoundError as error:
            if error.name not in ("dask", "distributed"):
                raise
            raise ClusterError(
                "hydra/launcher=dask needs packages: pip install distributed cryptography"
            ) from error
        assert self.config is not None
        assert self.hydra_context is not None
        with held() as stop, connected(self.wanted, stop) as cluster:
            engine = Engine(cluster, self.send, self.work, self.receive, stop, len(job_overrides))
            fair = math.ceil(len(job_overrides) / max(1, cluster.capacity))  # few jobs are shared out, too
            returns = launch_batches(
                self.work,
                engine.run,
                max(1, min(self.batch_size, fair)),
                self.hydra_context,
                self.config,
                job_overrides,
                initial_job_idx,
            )
        hidden = self.config.hydra.job.config.override_dirname.exclude_keys
        return with_failures(returns, initial_job_idx, hidden)
