"""Fixtures: the chapter's tensors, a folder to work in, and the command itself."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from mlflow import MlflowClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

from src import train
from src.report import figures
from src.report.figures import bands, draw

ROOT = Path(__file__).parents[1]
settings.register_profile("unhurried", deadline=None)  # how fast a machine is, is no fact about the code
settings.load_profile("unhurried")
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


@event.listens_for(Engine, "connect")
def _no_wait_for_the_disk(connection: object, _: object) -> None:
    """Half the time of a sweep on a busy disk; nothing that this process writes outlives the machine."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


# Files that take minutes are begun first: else one process would still be at one when all others are done
LONGEST = (
    "test_wheel",
    "test_cluster",
    "test_resume",
    "test_processes",
    "test_server",
    "test_kills",
    "test_each_kind",
    "test_site",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All others stay as they are; `--no-loadscope-reorder` keeps that order."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.fixture
def t_u() -> torch.Tensor:
    """The chapter's thermometer readings (11,), float32. Source: the chapter."""
    return torch.tensor([35.7, 55.9, 58.2, 81.9, 56.3, 48.9, 33.9, 21.8, 48.4, 60.4, 68.4])


@pytest.fixture
def t_c() -> torch.Tensor:
    """The chapter's true temperatures in °C (11,), float32. Source: the chapter."""
    return torch.tensor([0.5, 14.0, 15.0, 28.0, 11.0, 8.0, 3.0, -4.0, 6.0, 13.0, 21.0])


@pytest.fixture(scope="session")
def migrated_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with MLflow's schema in it: a copy opens in a tenth of a second, a fresh one in several."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    with sqlite3.connect(path) as database:
        # it holds the absolute path of this folder's artifacts; MLflow makes it anew
        database.execute("DELETE FROM experiments")
    return path


def work_in(path: Path, patch: pytest.MonkeyPatch) -> MlflowClient:
    """MLflow's own client on this folder's store, which MLflow finds from here."""
    patch.chdir(path)
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return MlflowClient(f"sqlite:///{path / 'mlflow.db'}")


def working_folder(path: Path, patch: pytest.MonkeyPatch) -> None:
    """Work in this folder, which gets the project's data and nothing else, no store."""
    shutil.copytree(ROOT / "data", path / "data")
    patch.chdir(path)
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)


def train_in(path: Path, store: Path, *lines: Sequence[str], with_pictures: bool = False) -> str:
    """What `python -m src.train` shows, once per line, in a folder that several tests look at.

    The folder gets the project's data and a copy of the store, and none of these tests changes it.
    """
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as screen:
        working_folder(path, patch)
        shutil.copy(store, "mlflow.db")
        if with_pictures:
            draw_pictures(patch)
        for line in lines:
            patch.setattr(sys, "argv", ["src/train.py", *line])
            assert train.command() == 0
    return screen.getvalue()


def copy_of(trained: Path, folder: Path) -> None:
    """What was trained in one folder lies in another, too, as if it had been trained there."""
    shutil.copytree(trained, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("mlflow.db"))
    with (
        closing(sqlite3.connect(trained / "mlflow.db")) as theirs,
        closing(sqlite3.connect(folder / "mlflow.db")) as ours,
        ours,
    ):
        theirs.backup(ours)
        columns = (
            "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'"
        )
        for table, column in ours.execute(columns).fetchall():
            moved = (
                f'UPDATE "{table}" SET "{column}" = replace("{column}", ?1, ?2) WHERE instr("{column}", ?1)'
            )
            ours.execute(moved, [str(trained), str(folder)])


def draw_pictures(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(figures, "draw", draw)
    patch.setattr(figures, "bands", bands)


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: the project's data and nothing else, no store."""
    working_folder(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture
def folder(empty_folder: Path, migrated_store: Path) -> Path:
    """The working directory, with an empty store where MLflow looks by itself."""
    shutil.copy(migrated_store, empty_folder / "mlflow.db")
    return empty_folder


@pytest.fixture
def client(folder: Path) -> MlflowClient:
    """MLflow's own client on the folder's store."""
    return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real one, of the test file's own."""
    from tests import server  # which imports tests that import this

    with server.postgresql(tmp_path_factory.mktemp("postgresql")) as address:
        yield address


@pytest.fixture(scope="module", autouse=True)
def _no_pictures(request: pytest.FixtureRequest) -> Iterator[None]:
    """They take half the time of a run, and are drawn only where a test looks at them."""
    with pytest.MonkeyPatch.context() as patch:
        if not request.node.get_closest_marker("pictures"):
            patch.setattr(figures, "draw", lambda name, comparison: None)
            patch.setattr(figures, "bands", lambda calibration, pairs, tolerance: "")
        yield


@pytest.fixture(autouse=True)
def _pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("pictures"):
        draw_pictures(monkeypatch)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`python -m src.train ARGS` in this process: the exit code."""

    def run(*args: str) -> int:
        monkeypatch.setattr(sys, "argv", ["src/train.py", *args])
        return train.command()

    return run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`python -m src.train ARGS` in a process of its own, in the test's folder."""
    started: list[subprocess.Popen[str]] = []

    def run(*args: str, tracking_uri: str = "") -> subprocess.Popen[str]:
        environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        if tracking_uri:
            environment["MLFLOW_TRACKING_URI"] = tracking_uri
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "src.train", *args],
                cwd=tmp_path,
                env=environment | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()
