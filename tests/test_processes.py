"""Whole processes: many at once on no store, interrupted ones, and other launchers."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.record import is_parent, recorded

pytestmark = pytest.mark.slow

Start = Callable[..., subprocess.Popen[str]]


def wait_for_runs(client: MlflowClient, count: int, limit_s: float = 180) -> None:
    deadline = time.monotonic() + limit_s
    while len(recorded(client)) < count:
        assert time.monotonic() < deadline, "nothing was recorded"
        time.sleep(0.1)


def test_three_processes_at_once_on_no_store_at_all(start: Start, empty_folder: Path) -> None:
    processes = [start("epochs=50", f"lr=1e-{exponent}") for exponent in range(2, 5)]
    for process in processes:
        output, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
        assert "on record" in output
    runs = recorded(MlflowClient(f"sqlite:///{empty_folder / 'mlflow.db'}"))
    assert len({run.data.params["lr"] for run in runs}) == 3
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert all(len(run.inputs.dataset_inputs) == 1 for run in runs)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_is_killed_with_what_it_reached(
    signum: int, code: int, start: Start, client: MlflowClient
) -> None:
    process = start("epochs=1_000_000")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("data ")
    assert process.stdout.readline().startswith("Epoch 100000, ")  # a tenth of the way
    process.send_signal(signum)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    [run] = recorded(client)
    assert run.info.status == "KILLED"
    assert run.data.tags["outcome"] == "killed"
    assert run.data.metrics["loss"] > 0


@pytest.mark.parametrize(
    ("signum", "times", "code"),
    [(signal.SIGINT, 5, 130), (signal.SIGTERM, 1, 143)],
    ids=["impatient", "TERM"],
)
def test_an_interrupted_sweep_leaves_nothing_running(
    signum: int, times: int, code: int, start: Start, client: MlflowClient
) -> None:
    """A second Ctrl-C, and a fifth, change nothing."""
    process = start("-m", "lr=1e-2,1e-3", "epochs=20,100_000_000", "hydra/launcher=basic")
    wait_for_runs(client, 2)  # the parent and the first, short run
    for _ in range(times):
        process.send_signal(signum)  # in the long run's training, or on the way to it
        time.sleep(0.05)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    runs = recorded(client)
    [parent] = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert parent.info.status == "KILLED"
    statuses = sorted(run.info.status for run in runs if run is not parent)
    assert statuses in (["FINISHED"], ["FINISHED", "KILLED"])


@pytest.mark.parametrize("launcher", [("joblib", "n_jobs=2"), ("submitit_local", "timeout_min=5")])
def test_jobs_in_processes_of_their_own_have_one_parent(
    launcher: tuple[str, str], start: Start, client: MlflowClient, empty_folder: Path
) -> None:
    """At the same time: whoever comes first makes the parent, and nothing is left but the record."""
    name, option = launcher
    process = start("-m", "lr=1e-2,1e-3", "epochs=20", f"hydra/launcher={name}", f"hydra.launcher.{option}")
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    runs = recorded(client)
    [parent] = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert parent.info.status == "FINISHED"
    assert len(runs) == 3
    assert {run.data.tags.get("mlflow.parentRunId") for run in runs} == {None, parent.info.run_id}
    assert {each.name for each in empty_folder.iterdir()} == {"data", "mlflow.db", "mlruns"}


def test_an_interrupted_batch_leaves_all_its_runs_killed(start: Start, client: MlflowClient) -> None:
    """All points train together; each has its curve as far as it came, and nothing is RUNNING."""
    process = start("-m", "lr=range(0.001,0.0205,0.001)", "epochs=100_000_000")
    wait_for_runs(client, 1)  # the parent: training begins
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    runs = recorded(client)
    assert len(runs) == 21
    assert {run.info.status for run in runs} == {"KILLED"}
    assert all(run.data.metrics["loss"] > 0 for run in runs if not is_parent(run))


def test_a_server_gets_the_same_record_through_the_client(
    start: Start, empty_folder: Path, migrated_store: Path
) -> None:
    """A real MLflow server on loopback; the sweep's runs, its artifacts and its address are the server's."""
    shutil.copy(migrated_store, empty_folder / "server.db")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    options = ["--backend-store-uri", f"sqlite:///{empty_folder / 'server.db'}"]
    options += ["--artifacts-destination", str(empty_folder / "served")]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = subprocess.Popen(
        [*command, *options], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    page, uri = f"http://127.0.0.1:{port}", f"http://me:s3cret@127.0.0.1:{port}"
    try:
        wait_for_server(page)
        process = start("-m", "lr=1e-2,1e-3", "normalization=none,zscore", "epochs=40", tracking_uri=uri)
        output, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        assert f"{page}/#/experiments/" in output
        assert "s3cret" not in output + errors
        client = MlflowClient(uri)
        runs = recorded(client)
        [parent] = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        assert sorted(run.info.status for run in runs) == ["FAILED"] * 2 + ["FINISHED"] * 3
        places = [run.data.metrics.get("rank") for run in recorded(client, "metrics.rank > 0")]
        assert sorted(places) == [1, 2, 3, 4]
        artifacts = {file.path for file in client.list_artifacts(parent.info.run_id)}
        assert artifacts > {"runs.csv", "sweep.html", "sweep.yaml", "loss_curves.png"}
        assert not (empty_folder / "mlflow.db").exists()
        written = [path for path in empty_folder.rglob("*") if path.is_file()]
        assert not [path for path in written if b"s3cret" in path.read_bytes()]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def wait_for_server(uri: str, limit_s: float = 90) -> None:
    deadline = time.monotonic() + limit_s
    while True:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=2):
                return
        except OSError:
            assert time.monotonic() < deadline, "the server did not come up"
            time.sleep(0.5)
