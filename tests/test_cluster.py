"""A sweep on a cluster leaves the record that it leaves on one machine, whatever happens meanwhile."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient

from src import train
from src.report import figures
from src.tracking.patience import LONGEST_S
from tests.cluster import Cluster, wait_until
from tests.conftest import working_folder
from tests.record import is_parent, recorded
from tests.server import Server
from tests.test_launchers import by_point, parents

pytestmark = pytest.mark.slow

Recorded = dict[str, dict[str, object]]
Command = Callable[..., int]
Start = Callable[..., subprocess.Popen[str]]


# Three normalizations, two numbers of epochs, four rates, the largest beyond every limit (1.0 of zscore)
POINTS = ("-m", "lr=1e-4,1e-3,1e-2,3", "normalization=none,scale,zscore", "epochs=60,300")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers, in a folder where there are no data; no batch is given up however many die of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", str(KILLS))
        found = Cluster(tmp_path_factory.mktemp("cluster"))
    found.worker()
    found.worker()
    yield found
    found.close()


def on(cluster: Cluster, batch_size: int = 5) -> list[str]:
    where = f"hydra.launcher.scheduler={cluster.address}"
    return ["hydra/launcher=dask", where, f"hydra.launcher.batch_size={batch_size}"]


# A quarter of a minute's on any machine; beyond zscore's limit, 1.0, runs diverge
SLOW = (
    "-m", "lr=logrange(1e-3,3,12)", "normalization=zscore", "epochs=1000",
    "model.function=tests.slow.line", "model.start.w=1", "model.start.b=0",
)  # fmt: skip
KILLS = 3


def last(client: MlflowClient) -> Recorded:
    """What is on record of the sweep that was begun last."""
    return by_point(client, parents(client)[0].data.tags["sweep"])


def undisturbed(folder: Path, migrated_store: Path, *points: str) -> Recorded:
    """What is on record of the sweep on one machine."""
    with pytest.MonkeyPatch.context() as patch:
        working_folder(folder, patch)
        patch.setattr(figures, "draw", lambda name, comparison: None)
        patch.setattr(sys, "argv", ["src/train.py", *points])
        shutil.copy(migrated_store, folder / "mlflow.db")
        assert train.command() == 0
        return last(MlflowClient(f"sqlite:///{folder / 'mlflow.db'}"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Recorded:
    return undisturbed(tmp_path_factory.mktemp("whole"), migrated_store, *POINTS)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Recorded:
    return undisturbed(tmp_path_factory.mktemp("slow"), migrated_store, *SLOW)


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


@contextmanager
def killed_every_two_seconds(cluster: Cluster) -> Iterator[list[int]]:
    """Inside, a worker at work is killed every two seconds, as often as that; yields the processes."""
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while len(killed) < KILLS and not over.wait(2):
            wait_until(lambda: over.is_set() or cluster.busy, "no batch was begun")
            for pid in cluster.busy[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill)
        try:
            yield killed
        finally:
            over.set()
        killing.result()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "writer", ["client", "worker"], ids=["client into a file", "workers into postgresql"]
)
def test_a_worker_killed_every_two_seconds(
    writer: str,
    command: Command,
    client: MlflowClient,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    cluster: Cluster,
    slow: Recorded,
) -> None:
    """Its batch is done again: each run is on record once, with the numbers that it has undisturbed."""
    if writer == "worker":
        uri = request.getfixturevalue("postgresql")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        client = MlflowClient(uri)
    with killed_every_two_seconds(cluster) as killed:
        assert command(*SLOW, *on(cluster, batch_size=1), f"tracking.written_by={writer}") == 0
    assert len(killed) == KILLS
    assert last(client) == slow


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
    assert errors.splitlines()[-1].startswith("ended early, 0 of 20 runs came to their end; to go on: ")
    wait_until(lambda: cluster.is_idle, "a worker is still at work", 5)
    runs = recorded(client)
    assert {run.info.status for run in runs} == {"KILLED"}
    assert len([run for run in runs if not is_parent(run)]) == 10  # what was begun


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(migrated_store, folder / "mlflow.db")
    server = Server(folder)
    yield server
    server.kill()


@pytest.mark.parametrize("writer", ["client", "worker"])
def test_ctrl_c_while_the_server_is_away(
    writer: str,
    start: Start,
    server: Server,
    cluster: Cluster,
    folder: Path,
) -> None:
    """Whoever writes waits no longer, and what was reached is kept."""
    server.start()
    server.wait()
    swept = ("-m", "lr=range(0.001,0.0205,0.001)", "epochs=100_000_000", f"tracking.written_by={writer}")
    process = start(*swept, *on(cluster), tracking_uri=server.uri)
    wait_until(lambda: cluster.at_work_on("results = _calibrate(") == 2, "no batch was begun")
    server.kill()
    process.send_signal(signal.SIGINT)
    interrupted = time.monotonic()
    _, errors = process.communicate(timeout=200)
    assert time.monotonic() - interrupted < LONGEST_S / 2
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    files = list(folder.glob("runs-not-on-record-*"))  # one for each batch
    kept = [json.loads(gzip.decompress(file.read_bytes()))["records"] for file in files]
    assert [[record["status"] for record in each] for each in kept] == [["KILLED"] * 5] * 2


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
