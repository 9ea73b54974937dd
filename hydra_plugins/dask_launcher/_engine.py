"""Sends batches to a cluster's workers, and hands on what comes back, in the order in which it comes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from distributed import Future
from distributed.scheduler import KilledWorker
from hydra.utils import get_method
from omegaconf import DictConfig

from hydra_plugins.batch_launcher import Stop, step
from hydra_plugins.batch_launcher._launch import Batch, run_job

from . import _worker
from ._cluster import Cluster

POLL_S = 0.05
FETCH_S = 30.0  # for a result to travel; where its worker died meanwhile, the batch is done again
GRACE_S = 90.0  # for workers to stop and to give back what they have reached
AGAIN_S = 5.0  # between two calls to stop: a worker may have been started meanwhile
LOOK_S = 1.0  # between two looks at which workers there are

SAFE = "what came back is on record"

End = Callable[[Batch, list[Any]], None]


@dataclass(frozen=True)
class Away:
    """A batch that is on its way, and what stays here of it."""

    batch: Batch
    kept: Any


class Engine:
    """Runs batches on a cluster by three functions of dotted paths."""

    def __init__(self, cluster: Cluster, send: str, work: str, receive: str, stop: Stop, jobs: int) -> None:
        """`send` and `receive` are called here, `work` there; `stop` says whether to end early.

        `jobs` is how many there are in all.
        """
        self.cluster, self.stop = cluster, stop
        self.send, self.work, self.receive = get_method(send), work, get_method(receive)
        self.launch = secrets.token_hex(8)
        self.away: dict[Future, Away] = {}
        self.jobs, self.ended = jobs, 0
        self.looked = 0.0  # which workers there are
        self.without: float | None = None  # since when there is none

    def run(self, batches: Iterable[Batch], end: End) -> None:
        """Tell `end` each batch's results. Raises ConnectionError where it cannot go on with this cluster.

        Interrupted, the workers are told to stop, and what they have reached is told, too.
        """
        try:
            for batch in batches:
                self._go_on()
                self._send(batch, end)
                while len(self.away) >= max(1, self.cluster.capacity) or self._done():
                    self._take_one(end)
            while self.away:
                self._take_one(end)
        except KeyboardInterrupt:
            self._stop(end)
            raise

    def _go_on(self) -> None:
        if self.stop():
            raise KeyboardInterrupt
        if not self.cluster.is_there:
            raise self._lost()
        if (now := time.monotonic()) - self.looked < LOOK_S:
            return
        self.looked = now
        self.without = None if self.cluster.capacity else self.without or now
        if self.without and now - self.without > self.cluster.wanted.wait_s:
            raise ConnectionError(f"the scheduler at {self.cluster.address} has no worker any more: {SAFE}")

    def _done(self) -> Future | None:
        """One that is back."""
        return next((future for future in self.away if future.done()), None)

    def _lost(self) -> ConnectionError:
        return ConnectionError(f"the scheduler at {self.cluster.address} was lost: {SAFE}")

    def _send(self, batch: Batch, end: End) -> None:
        try:
            parcel, kept = self.send(batch.configs) if batch.configs else (None, None)
        except Exception as error:
            self.ended += len(batch.jobs)
            end(batch, [error] * len(batch.configs))
            return
        if parcel is None:
            self._end(Away(batch, kept), None, end)
            return
        packed = _worker.pack(parcel)
        future = self.cluster.client.submit(
            _worker.work,
            self.launch,
            self.work,
            self.cluster.identity,
            packed,
            key=f"batch-{self.launch}-{batch.first}",
            resources=self.cluster.wanted.resources or None,
            pure=False,
        )
        self.away[future] = Away(batch, kept)

    def _take_one(self, end: End) -> None:
        """Wait for one of the batches that are away, and tell what came of it."""
        doing = self.work.rpartition(".")[2]  # the step is called as the function is
        with step(doing, self.jobs, "jobs", self._share()) as reached:
            reached(self.ended)
            while True:
                self._go_on()
                if done := self._done():
                    with suppress(TimeoutError):
                        returned = self._returned(done)
                        break
                time.sleep(POLL_S)
        if isinstance(returned, _worker.MismatchError):  # its worker would take every batch that is left
            raise ConnectionError(f"{returned}; {SAFE}")
        self._end(self.away.pop(done), returned, end)

    def _share(self) -> float:
        return sum(len(each.batch.jobs) for each in self.away.values()) / len(self.away)

    def _returned(self, future: Future) -> Any:
        """What the work gave, or the error that kept it from that; raises TimeoutError for not yet."""
        try:
            return _worker.unpack(future.result(timeout=FETCH_S))
        except KilledWorker as error:
            times, where = error.allowed_failures + 1, error.last_worker.address
            who = "a worker" if times == 1 else f"{times} workers"
            return RuntimeError(
                f"{who} died of this batch, lastly {where}: if memory ran out, give a smaller "
                "hydra.launcher.batch_size"
            )
        except TimeoutError:
            raise
        except BaseException as error:  # a CancelledError is no Exception
            if future.status in ("cancelled", "lost"):  # the scheduler is gone, or another one
                raise self._lost() from error
            return error if isinstance(error, Exception) else RuntimeError(repr(error))

    def _end(self, away: Away, returned: Any, end: End) -> None:
        def receive(configs: list[DictConfig]) -> list[Any]:
            del configs
            return list(self.receive(away.kept, returned))

        results = run_job(receive, away.batch.configs)
        self.ended += len(away.batch.jobs)
        end(away.batch, results)

    def _stop(self, end: End) -> None:
        """Have the workers stop, and take what they give back within a while."""
        if not self.cluster.is_there:
            return
        told, deadline = 0.0, time.monotonic() + GRACE_S
        while self.away and self.cluster.is_there and (now := time.monotonic()) < deadline:
            if now - told > AGAIN_S:
                self.cluster.client.run(_worker.stop, self.launch, on_error="ignore")
                told = now
            for future in [future for future in self.away if future.done()]:
                try:
                    returned = self._returned(future)
                except TimeoutError:
                    continue
                with suppress(KeyboardInterrupt):  # an impatient second one
                    self._end(self.away.pop(future), returned, end)
            time.sleep(POLL_S)
        if self.cluster.is_there:
            self.cluster.client.cancel(list(self.away), force=True)
