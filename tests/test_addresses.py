"""Where models and artifacts go, beside the store, and who serves them: from any folder, passwords unseen."""

import json
import os
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from src.tracking.store import existing
from tests.test_processes import wait_for_server

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("launch", [[], ["-m", "lr=1e-2,1e-3", "hydra/launcher=basic"]])
def test_a_relative_registry_is_where_the_command_was_called(
    launch: list[str], folder: Path, migrated_store: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though a job may work in a folder of its own."""
    (folder / "registry.db").write_bytes(migrated_store.read_bytes())
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "sqlite:///registry.db")
    assert command(*launch, "epochs=5", "register=thermometer", "hydra.job.chdir=true") == 0
    assert {path.name for path in folder.rglob("*.db")} == {"mlflow.db", "registry.db"}
    for name, versions in (("registry.db", 1), ("mlflow.db", 0)):
        with closing(sqlite3.connect(folder / name)) as database:
            assert database.execute("SELECT count(*) FROM model_versions").fetchone() == (versions,)


@pytest.mark.parametrize("scheme", ["http", "nosuchscheme", "postgresql+psycopg"])
def test_a_password_in_the_registrys_address(
    scheme: str, folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    """Neither shown nor recorded; what was trained is on record, and nothing waits for the registry."""
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"{scheme}://me:s3cret@127.0.0.1:1/x")
    assert command("epochs=5", "register=thermometer") == 1
    assert_unseen(folder, capfd, f"{scheme}://127.0.0.1:1/x")


def test_a_password_in_the_artifacts_address(
    folder: Path, client: MlflowClient, command: Command, capfd: Capture
) -> None:
    """The experiment's is on record from before, by whoever made it."""
    client.create_experiment("far", "ftp://me:s3cret@127.0.0.1:1/x")
    told_before = (folder / "mlflow.db").read_bytes().count(b"s3cret")
    assert told_before
    assert command("epochs=5", "tracking.experiment=far") == 1
    assert_unseen(folder, capfd, "the run is on record, but not all of its page", {"mlflow.db"})


def test_a_password_in_the_stores_address_is_not_served(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command names the variable that holds it, as any other store's address itself."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    store = existing()
    assert store.how_to_serve == f"mlflow ui --backend-store-uri sqlite:///{folder / 'mlflow.db'}"
    for uri, told in {
        "postgresql://me@host/runs": 'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"',
        "postgresql://host/runs?password=s3cret": 'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"',
        "postgresql://host/runs": "mlflow ui --backend-store-uri postgresql://host/runs",
        "http://host:5000": "",
    }.items():
        assert replace(store, uri=uri).how_to_serve == told


@pytest.mark.slow
@pytest.mark.pictures
def test_the_printed_command_serves_from_any_folder(
    tmp_path: Path, migrated_store: Path, command: Command, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    """Run and picture are there, and no second store is left behind."""
    home, other = tmp_path / "a folder", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    (home / "mlflow.db").write_bytes(migrated_store.read_bytes())
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(home)
    assert command("epochs=5") == 0
    [(run_id, served)] = re.findall(r"/runs/(\w+)\?.*served by: (.*)\)", capfd.readouterr().out)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        page = f"http://127.0.0.1:{probe.getsockname()[1]}"
    server = subprocess.Popen(
        [sys.executable, "-m", *shlex.split(served), "--port", page.rpartition(":")[2], "--workers", "1"],
        cwd=other, env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for_server(page, limit_s=180)
        with urllib.request.urlopen(f"{page}/api/2.0/mlflow/runs/get?run_id={run_id}") as answer:
            assert json.load(answer)["run"]["info"]["run_id"] == run_id
        with urllib.request.urlopen(f"{page}/get-artifact?path=graph.png&run_uuid={run_id}") as answer:
            assert answer.read().startswith(b"\x89PNG")
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    assert list(other.iterdir()) == []


def assert_unseen(
    folder: Path, capfd: Capture, told: str, but: frozenset[str] | set[str] = frozenset()
) -> None:
    said = "".join(capfd.readouterr())
    assert told in said
    assert "s3cret" not in said
    assert "Traceback" not in said
    assert "waiting" not in said
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in but]
    assert not [path for path in files if b"s3cret" in path.read_bytes()]
