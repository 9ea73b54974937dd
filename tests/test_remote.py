"""What travels of a sweep's batch, and what is done with what comes back; no cluster is needed for that."""

from __future__ import annotations

import pickle
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from mlflow import MlflowClient
from omegaconf import DictConfig

from hydra_plugins.batch_launcher import Failure, JobsFailedError
from hydra_plugins.dask_launcher._worker import pack, unpack
from src import launch, remote  # noqa: F401  (the launch has what configs are made of)
from src.package import CONF
from src.terminal.command import attempt
from src.terminal.errors import WorkerError
from src.workplace import sweep_begun
from tests.record import is_parent, recorded

RUNS = 200

Configs = Callable[..., list[DictConfig]]


@pytest.fixture
def configs(folder: Path) -> Iterator[Configs]:
    """The configs of a sweep over so many rates, as its jobs get them."""
    del folder
    with sweep_begun("", None) as origin, initialize_config_dir(str(CONF), version_base="1.3"):
        mine = [f"origin.sweep='{origin.sweep}'", f"origin.folder='{origin.folder}'", "origin.job=0"]

        def make(count: int, *overrides: str) -> list[DictConfig]:
            first = compose("config", [*mine, *overrides])
            found = []
            for job in range(count):
                found.append(first.copy())
                found[-1].lr, found[-1].origin.job = 1e-4 * 1.005**job, job
            return found

        yield make


def never() -> bool:
    return False


def test_what_travels_is_small(configs: Configs, client: MlflowClient) -> None:
    """At most 50 bytes a run out; 800 back where the client writes, 20 where workers do.

    Source of the limits: what a client's line holds for ten million runs.
    """
    parcels, sent = remote.send(configs(RUNS))
    assert parcels
    out = pack(parcels)
    assert len(out) <= 50 * RUNS
    back = pack(remote.training(unpack(out), never))
    assert 100 * RUNS < len(back) <= 800 * RUNS, "records are not there, or are large"
    objectives = remote.receive(sent, unpack(back))
    assert all(isinstance(each, float) for each in objectives)
    assert len(recorded(client)) == RUNS + 1


def test_workers_send_back_losses_alone(configs: Configs, client: MlflowClient, folder: Path) -> None:
    """And once more, as where the first died before it could: nothing is trained or written again."""
    parcels, sent = remote.send(configs(RUNS, "epochs=10"))
    assert parcels
    there = [replace(each, store=f"sqlite:///{folder / 'mlflow.db'}") for each in parcels]
    first = pack(remote.training(there, never))
    assert len(first) <= 20 * RUNS
    assert len(recorded(client)) == RUNS + 1
    second = remote.training(there, stop=lambda: True)  # so that any that it trained would be killed
    assert second == unpack(first)
    assert remote.receive(sent, second) == second[0].outcomes
    assert len(recorded(client)) == RUNS + 1


def test_a_batch_that_does_not_come_back_is_on_record(configs: Configs, client: MlflowClient) -> None:
    """Each run as one that crashed, which a resumed sweep trains anew."""
    _, sent = remote.send(configs(3))
    results = remote.receive(sent, RuntimeError("2 workers died of this batch at a://me:s3cret@host"))
    assert [type(each) for each in results] == [WorkerError] * 3
    runs = [run for run in recorded(client) if not is_parent(run)]
    assert [run.info.status for run in runs] == ["FAILED"] * 3
    assert "s3cret" not in str(results)
    assert all(
        "2 workers died of this batch at a://host" in run.data.tags["mlflow.note.content"] for run in runs
    )
    parcels, sent = remote.send(configs(3))
    assert parcels
    remote.receive(sent, remote.training(parcels, never))
    runs = [run for run in recorded(client) if not is_parent(run)]
    assert [run.info.status for run in runs] == ["FINISHED"] * 3


def test_a_worker_that_died_is_no_mistake_of_the_users(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise JobsFailedError([Failure(3, ("lr=1",), WorkerError("a worker died of this batch"))], 4)

    assert attempt(fail) == 1
    assert capfd.readouterr().err == (
        "1 of 4 jobs failed:\n  job 3 (lr=1): WorkerError: a worker died of this batch\n"
    )


def test_a_worker_with_another_function_refuses_by_name(configs: Configs) -> None:
    parcels, _ = remote.send(configs(2))
    assert parcels
    other = [replace(each, code=[code | {"model": "0"} for code in each.code]) for each in parcels]
    [trained] = remote.training(pickle.loads(pickle.dumps(other)), never)
    assert [type(each) for each in trained.outcomes] == [WorkerError] * 2  # so that the sweep can go on
    told = f"on {socket.gethostname()}: another model than the machine that sends: update it there"
    assert str(trained.outcomes[0]).startswith(told)


def test_a_workers_crash_tells_where_it_was(
    configs: Configs, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A function of the user's that fails there alone: its line is told here, as without a cluster."""
    (folder / "bent_there.py").write_text(
        "import os\ncalls = 0\ndef bent(t_u, w, b):\n    global calls\n    calls += 1\n"
        "    assert calls < float(os.environ.get('LIMIT', 'inf'))\n    return w * t_u + b\n"
    )
    mine = ("model.function=bent_there.bent", "model.start.w=1", "model.start.b=0")
    parcels, _ = remote.send(configs(2, *mine))
    assert parcels
    before = sys.modules["bent_there"].calls
    remote.training(parcels, never)
    after = sys.modules["bent_there"].calls
    monkeypatch.setenv("LIMIT", str(after + (after - before) // 2))  # in the middle it trains
    [trained] = unpack(pack(remote.training(unpack(pack(parcels)), never)))

    def fail() -> None:
        raise trained.outcomes[1]

    assert attempt(fail) == 1
    assert "in bent" in capfd.readouterr().err


def test_a_worker_that_does_not_reach_the_store_sends_all_back(
    configs: Configs, client: MlflowClient
) -> None:
    parcels, sent = remote.send(configs(3))
    assert parcels
    back = remote.training([replace(each, store="http://127.0.0.1:1") for each in parcels], never)
    assert [len(each.records) for each in back] == [3]
    assert remote.receive(sent, back) == back[0].outcomes
    assert len(recorded(client)) == 3 + 1


def test_workers_cannot_write_into_a_file(configs: Configs, client: MlflowClient) -> None:
    parcels, sent = remote.send(configs(2, "tracking.written_by=worker"))
    assert parcels is None
    [first, _] = remote.receive(sent, None)
    assert "tracking.written_by=worker: " in str(first)
    assert "mlflow.db is a file of this machine: give client or auto" in str(first)
    assert recorded(client) == []


def test_a_missing_package_is_a_line(
    command: Callable[..., int],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name in [each for each in sys.modules if each.startswith("hydra_plugins.dask_launcher._")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert command("-m", "lr=1e-3,2e-3", "hydra/launcher=dask") == 2
    assert (
        capfd.readouterr().err
        == "error: hydra/launcher=dask needs packages: pip install distributed cryptography\n"
    )
    assert not (folder / "mlruns").exists()
