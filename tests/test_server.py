"""A tracking server that answers late, badly or not at all: one line, no run lost, none there twice."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from src.settings import Origin
from src.tracking import kept, patience
from src.tracking.record import RunRecord, job_id
from src.tracking.store import Store, open_store
from tests.server import LOSE, Proxy, Server
from tests.test_writers import PLAIN, everything

pytestmark = pytest.mark.slow

Command = Callable[..., int]
SWEPT = ["-m", "lr=1e-2,1e-3", "epochs=20,40"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(migrated_store, folder / "mlflow.db")
    server = Server(folder)
    server.start()
    server.wait()
    yield server
    server.kill()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    proxy = Proxy(server.uri)
    yield proxy
    proxy.close()


@pytest.fixture
def store(
    proxy: Proxy, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Store:
    """By way of the proxy, an experiment of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.uri)
    return open_store(request.node.name)


def jobs(sweep: str, count: int) -> list[RunRecord]:
    tags = PLAIN.tags | {"sweep": sweep}
    return [replace(PLAIN, run_id=job_id(sweep, job), tags=tags | {"job": str(job)}) for job in range(count)]


def each_in_turn(faults: list[int]) -> Callable[[str], int]:
    """Each kind of call meets each of the faults, then none."""
    left: dict[str, list[int]] = {}
    return lambda path: (
        next(iter(left.setdefault(path.partition("?")[0], [*faults])[:1]), 0)
        and left[path.partition("?")[0]].pop(0)
    )


@pytest.mark.parametrize("faults", [[LOSE] * 6, [429, 500, 502, 503, 504]], ids=["lost", "busy"])
def test_each_run_once_and_whole(
    faults: list[int],
    store: Store,
    proxy: Proxy,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What is on record is what an undisturbed server has, whichever answers were lost."""
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.01)
    records = [*jobs("sweep-1", 6), replace(PLAIN, run_id="1" * 32)]
    direct = replace(store, uri=server.uri, client=MlflowClient(server.uri))
    whole = [told(direct, run_id) for run_id in kept.write(direct, records, Origin())]
    other = replace(store, experiment_id=direct.client.create_experiment(f"{store.experiment_id} disturbed"))
    proxy.fault = each_in_turn(faults)
    ids = kept.write(other, records, Origin())
    assert proxy.faults >= 4 * len(faults)  # of create, inputs, batch and update
    found = direct.client.search_runs([other.experiment_id])
    assert sorted(run.info.run_id for run in found) == sorted(ids)
    assert [told(replace(other, client=direct.client), run_id) for run_id in ids] == whole
    assert "Traceback" not in capfd.readouterr().err


def told(store: Store, run_id: str) -> dict[str, object]:
    found = everything(store, run_id)
    for key in ("experiment_id",):
        found["info"].pop(key)  # type: ignore[attr-defined]
    return found
