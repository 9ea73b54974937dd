"""A cluster of dask.distributed: one that is there already, or processes of this machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dask
from distributed import Client, LocalCluster

from hydra_plugins.batch_launcher import Stop

from . import _local
from ._wanted import ClusterError, Wanted
from ._worker import differences, identity


@dataclass
class Cluster:
    """A cluster whose workers have the same code as this process."""

    client: Client
    wanted: Wanted
    identity: dict[str, str]

    @property
    def address(self) -> str:
        """The scheduler's."""
        return self.wanted.scheduler or str(self.client.scheduler.address)

    @property
    def capacity(self) -> int:
        """How many workers can do a batch, one at a time each; 0 where there is none, or no scheduler."""
        needed = self.wanted.resources.items()
        resources = [each.get("resources") or {} for each in _workers(self.client).values()]
        return sum(all(has.get(name, 0) >= amount for name, amount in needed) for has in resources)

    @property
    def is_there(self) -> bool:
        """Whether the scheduler answers."""
        return bool(self.client.status == "running")


@contextmanager
def connected(wanted: Wanted, stop: Stop) -> Iterator[Cluster]:
    """A cluster that can do the work; raises ClusterError for one that cannot."""
    settings = {
        "distributed.scheduler.allowed-failures": wanted.attempts - 1,
        "distributed.comm.timeouts.connect": f"{wanted.wait_s}s",
        "distributed.admin.large-graph-warning-threshold": "1GB",
    }
    with dask.config.set(settings), _quiet(), _address(wanted) as address:
        try:
            client = Client(address, set_as_default=False, timeout=wanted.wait_s)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"no scheduler answers at {wanted.scheduler}: start one with `dask scheduler`, or leave "
                "hydra.launcher.scheduler out to use processes of this machine"
            ) from error
        with client:
            cluster = Cluster(client, wanted, identity(wanted.work, wanted.packages))
            _require_workers(cluster, stop)
            _require_same_code(cluster)
            print(f"cluster      {_described(cluster)}")
            yield cluster


@contextmanager
def _quiet() -> Iterator[None]:
    """What dask would log of workers and schedulers that are lost is told in a line, where it matters."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    before = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in before:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)


@contextmanager
def _address(wanted: Wanted) -> Iterator[Any]:
    if wanted.scheduler is not None:
        yield wanted.scheduler
        return
    with LocalCluster(
        n_workers=wanted.workers,
        threads_per_worker=1,
        security=True,  # of this process and its workers alone: who may send to them may do what they may
        memory_limit=0,  # the machine's own: dask would pause a worker, or kill it
        preload=[_local.__name__],
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL + 1,
        resources=wanted.resources or None,
    ) as local:
        yield local


def _described(cluster: Cluster) -> str:
    """How many workers, where, and the address of what dask shows of them, if it does."""
    client, count = cluster.client, len(_workers(cluster.client))
    is_shown = "dashboard" in client.scheduler_info()["services"]
    dashboard = f"; dashboard {client.dashboard_link}" if is_shown else ""
    return f"{count} worker{'s' * (count != 1)} at {cluster.address}{dashboard}"


def _workers(client: Client) -> dict[str, Any]:
    """By their addresses."""
    if client.status != "running":
        return {}
    found: dict[str, Any] = client.scheduler_info(n_workers=-1).get("workers", {})
    return found


def _require_workers(cluster: Cluster, stop: Stop) -> None:
    """Wait for one that has the resources; raises ClusterError where none comes."""
    wanted, deadline = cluster.wanted, time.monotonic() + cluster.wanted.wait_s
    while not cluster.capacity:
        if stop():
            raise KeyboardInterrupt
        workers = _workers(cluster.client)
        if time.monotonic() > deadline or (workers and wanted.resources):
            asked = " ".join(f"{name}={amount:g}" for name, amount in wanted.resources.items())
            what = f"no worker with {asked}" if workers else "no worker"
            options = f" --resources '{asked}'" if asked else ""
            raise ClusterError(
                f"the scheduler at {cluster.address} has {what}: start one with "
                f"`dask worker {cluster.address}{options}`"
            )
        time.sleep(0.1)


def _require_same_code(cluster: Cluster) -> None:
    """Raises ClusterError for workers with other code or other versions, before anything is sent to them.

    The scheduler reads what is sent, so it needs this package, too.
    """
    wanted = cluster.wanted
    try:
        cluster.client.run_on_scheduler(differences, {}, {})
    except Exception as error:
        raise ClusterError(
            f"the scheduler at {cluster.address} cannot read what is sent ({error}): start it where "
            "python finds this project"
        ) from error
    answers = cluster.client.run(identity, wanted.work, wanted.packages, on_error="return")
    wrong: dict[str, list[str]] = {}
    for address, there in answers.items():
        unlike = str(there) if isinstance(there, Exception) else differences(there, cluster.identity)
        if unlike:
            wrong.setdefault(unlike, []).append(str(address))
    if wrong:
        told = "; ".join(
            f"{first}{f' and {len(others)} more' if others else ''}: {unlike}"
            for unlike, (first, *others) in wrong.items()
        )
        raise ClusterError(f"{told}: install there what is here, and start the worker again where that is")
