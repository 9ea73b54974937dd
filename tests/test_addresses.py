"""Where models and artifacts go, beside the store: into the folder that is meant, and passwords unseen."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

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


@pytest.mark.parametrize("scheme", ["http", "nosuchscheme"])
def test_a_password_in_the_registrys_address(
    scheme: str, folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    """Neither shown nor recorded; what was trained is on record."""
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"{scheme}://me:s3cret@127.0.0.1:1/x")
    assert command("epochs=5", "register=thermometer") == 1
    assert_unseen(folder, capfd, f"{'' if scheme == 'http' else scheme + '://'}127.0.0.1")


def test_a_password_in_the_artifacts_address(
    folder: Path, client: MlflowClient, command: Command, capfd: Capture
) -> None:
    """The experiment's is on record from before, by whoever made it."""
    client.create_experiment("far", "ftp://me:s3cret@127.0.0.1:1/x")
    told_before = (folder / "mlflow.db").read_bytes().count(b"s3cret")
    assert told_before
    assert command("epochs=5", "tracking.experiment=far") == 1
    assert_unseen(folder, capfd, "the run is on record, but not all of its page", {"mlflow.db"})


def assert_unseen(
    folder: Path, capfd: Capture, told: str, but: frozenset[str] | set[str] = frozenset()
) -> None:
    said = "".join(capfd.readouterr())
    assert told in said
    assert "s3cret" not in said
    assert "Traceback" not in said
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in but]
    assert not [path for path in files if b"s3cret" in path.read_bytes()]
