"""A sweep on a cluster leaves the record that it leaves on one machine, whatever happens meanwhile."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from src import train
from src.report import figures
from tests.cluster import Cluster, wait_until
from tests.conftest import working_folder
from tests.test_launchers import POINTS, by_point, parents
from tests.test_record import is_parent, recorded

pytestmark = pytest.mark.slow

Recorded = dict[str, dict[str, object]]
Command = Callable[..., int]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers, in a folder where there are no data."""
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    found.worker()
    found.worker()
    yield found
    found.close()


def on(cluster: Cluster, batch_size: int = 5) -> list[str]:
    where = f"hydra.launcher.scheduler={cluster.address}"
    return ["hydra/launcher=dask", where, f"hydra.launcher.batch_size={batch_size}"]


def last(client: MlflowClient) -> Recorded:
    """What is on record of the sweep that was begun last."""
    return by_point(client, parents(client)[0].data.tags["sweep"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Recorded:
    """What is on record of the sweep on one machine."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        working_folder(folder, patch)
        patch.setattr(figures, "draw", lambda name, comparison: None)
        patch.setattr(sys, "argv", ["src/train.py", *POINTS])
        shutil.copy(migrated_store, folder / "mlflow.db")
        assert train.command() == 0
        return last(MlflowClient(f"sqlite:///{folder / 'mlflow.db'}"))


def test_the_record_is_that_of_one_machine(
    command: Command,
    client: MlflowClient,
    cluster: Cluster,
    whole: Recorded,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Bit for bit, where the client writes."""
    assert command(*POINTS, *on(cluster)) == 0
    output, errors = capfd.readouterr()
    assert f"cluster      2 workers at {cluster.address}; dashboard http://127.0.0.1:" in output
    assert errors == ""
    assert len(whole) == 24
    assert last(client) == whole


def test_processes_of_this_machine(
    command: Command, client: MlflowClient, whole: Recorded, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command(*POINTS, "hydra/launcher=dask", "hydra.launcher.workers=2") == 0
    output, errors = capfd.readouterr()
    assert "cluster      2 workers at tls://127.0.0.1:" in output
    assert errors == ""
    assert last(client) == whole


@pytest.mark.usefixtures("folder")
def test_workers_that_are_killed_and_write_themselves(
    command: Command,
    postgresql: str,
    monkeypatch: pytest.MonkeyPatch,
    cluster: Cluster,
    whole: Recorded,
) -> None:
    """Their batches are tried again: each run is on record once, with the numbers that it has undisturbed."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgresql)
    killed: list[int] = []

    def kill() -> None:
        for _ in range(2):
            wait_until(lambda: cluster.busy, "no batch was begun")
            killed.append(cluster.busy[0])
            os.kill(killed[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    assert command(*POINTS, *on(cluster, batch_size=2)) == 0
    killer.join()
    assert len(set(killed)) == 2
    assert last(MlflowClient(postgresql)) == whole


def test_ctrl_c_leaves_all_killed_and_the_cluster_idle(
    start: Start, client: MlflowClient, cluster: Cluster, folder: Path
) -> None:
    """What they train on is in a file that this machine alone has."""
    shutil.copy(folder / "data" / "thermometer.csv", folder / "mine.csv")
    swept = ("-m", "lr=range(0.001,0.0205,0.001)", "epochs=100_000_000", "data.path=mine.csv")
    process = start(*swept, *on(cluster))
    wait_until(lambda: len(cluster.busy) == 2, "no batch was begun")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("ended early, 0 of 20 runs on record; to go on: ")
    wait_until(lambda: cluster.is_idle, "a worker is still at work", 5)
    runs = recorded(client)
    assert {run.info.status for run in runs} == {"KILLED"}
    assert len([run for run in runs if not is_parent(run)]) == 10  # what was begun


def test_a_killed_client_is_resumed(
    start: Start, command: Command, client: MlflowClient, cluster: Cluster, whole: Recorded
) -> None:
    process = start(*POINTS, *on(cluster, batch_size=1))
    wait_until(lambda: len(recorded(client)) > 3, "nothing was recorded")
    process.kill()
    wait_until(lambda: cluster.is_idle, "a worker is still at work", 20)
    process.wait()
    assert len(last(client)) < 24
    assert command("resume=latest", *on(cluster)) == 0
    assert last(client) == whole
