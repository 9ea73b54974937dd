"""A tracking server that answers late, badly or not at all: one line, no run lost, none there twice."""

import gzip
import itertools
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from src import compare
from src.settings import Origin
from src.tracking import kept, patience, reader, registry
from src.tracking.record import AT_WORK, LIKE, RunRecord, TrackedRun, job_id
from src.tracking.selection import Selection
from src.tracking.store import Store, open_store
from src.tracking.sweep import Parent, parents_of
from src.workplace import Process
from tests.record import curve, is_parent, recorded
from tests.server import CUT, LOSE, Proxy, Server
from tests.terminal import STYLE, left_on_screen, on_a_terminal
from tests.test_resume import sweeps
from tests.test_writers import PLAIN, everything

pytestmark = pytest.mark.slow

Command = Callable[..., int]
Start = Callable[..., subprocess.Popen[str]]
SWEPT = ["-m", "lr=range(0.001,0.0205,0.001)", "epochs=20,40"]


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


def in_turn(faults: list[int]) -> Callable[[str], int]:
    """Each kind of call meets each of the faults, then none."""
    left: dict[str, Iterator[int]] = {}
    return lambda path: next(left.setdefault(path.partition("?")[0], iter(faults)), 0)


@pytest.mark.parametrize("faults", [[LOSE, CUT] * 3, [429, 500, 502, 503, 504]], ids=["lost", "busy"])
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
    proxy.fault = in_turn(faults)
    ids = kept.write(other, records, Origin())
    assert proxy.faults >= 4 * len(faults)  # of create, inputs, batch and update
    found = direct.client.search_runs([other.experiment_id])
    assert sorted(run.info.run_id for run in found) == sorted(ids)
    assert [told(replace(other, client=direct.client), run_id) for run_id in ids] == whole
    assert "Traceback" not in capfd.readouterr().err


def told(store: Store, run_id: str) -> dict[str, object]:
    found = everything(store, run_id)
    found["info"].pop("experiment_id")  # type: ignore[attr-defined]
    return found


def test_what_a_batch_reads_does_not_grow_with_the_sweep(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds its own jobs, at most twice as many others, and none of another sweep."""
    kept.write(store, [*jobs("sweep-1", 40), *jobs("sweep-2", 2)], Origin())
    read: list[TrackedRun] = []
    tracked = reader._tracked
    monkeypatch.setattr(reader, "_tracked", lambda run: read.append(tracked(run)) or read[-1])
    for mine in (range(1), range(7, 12), range(19, 31), range(40)):
        read.clear()
        found = reader.of_jobs(store, "sweep-1", mine)
        assert sorted(int(run.tags["job"]) for run in found) == list(mine)
        assert {run.tags["sweep"] for run in found} == {"sweep-1"}
        assert len(read) <= 3 * len(mine)


def of_jobs(client: MlflowClient) -> dict[str, Run]:
    """The latest sweep's runs by their number in it, each of which must be there once, with its values."""
    found = recorded(client, f"tags.sweep = '{sweeps(client)[0]}'")
    children = [run for run in found if not is_parent(run)]
    by_job = {run.data.tags["job"]: run for run in children}
    assert len(by_job) == len(children)
    assert all(run.info.status in ("FINISHED", "FAILED") for run in found)
    assert all(curve(client, run) for run in children)
    return by_job


def test_a_filter_is_not_blamed_for_a_busy_server(
    store: Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is well again when it is asked what there is to filter by."""
    monkeypatch.setattr(patience, "LONGEST_S", 0.0)
    proxy.fault = in_turn([503])
    with pytest.raises(MlflowException, match="503"):
        reader.runs(store, Selection(filter="params.model = 'linear'"))


@pytest.fixture
def parent(store: Store) -> Iterator[Callable[[], Parent]]:
    """Reads the parent of a sweep that ended early."""
    tags = {"sweep": "sweep-1", LIKE: "", AT_WORK: json.dumps(vars(process(0)))}
    run_id = store.client.create_run(store.experiment_id, tags=tags, run_name="sweep-1").info.run_id
    store.client.set_terminated(run_id, "KILLED")
    yield lambda: parents_of(store, "sweep-1")[0]
    store.client.delete_run(run_id)


def process(pid: int) -> Process:
    return Process("nowhere", pid, 0.0)


def test_one_of_many_takes_a_sweep_over(parent: Callable[[], Parent]) -> None:
    """Though all have seen that it is free; and so the next time, and the time after that."""
    many = 8
    begin = threading.Barrier(many)

    def take(pid: int) -> bool:
        seen = parent()
        begin.wait()
        return seen.set_status("RUNNING", process(pid))

    for first in (1, 101, 201):
        with ThreadPoolExecutor(many) as pool:
            taken = list(pool.map(take, range(first, first + many)))
        assert taken.count(True) == 1
        assert parent().process == process(first + taken.index(True))
        assert parent().status == "RUNNING"


def test_a_sweep_whose_taker_died_is_taken_by_the_next(parent: Callable[[], Parent], proxy: Proxy) -> None:
    """Before the tag said who it is: it is known all the same. None takes it twice, with others between."""
    proxy.fault = lambda path: 404 if path.endswith("/set-tag") else 0
    with pytest.raises(MlflowException):
        parent().set_status("RUNNING", process(1))
    proxy.fault = lambda path: 0
    assert parent().process == process(1)
    assert parent().set_status("RUNNING", process(2))
    assert parent().set_status("KILLED")
    assert not parent().set_status("RUNNING", process(1))
    assert (parent().process, parent().status) == (process(2), "KILLED")


def test_who_ends_a_sweep_that_was_taken_over_meanwhile(parent: Callable[[], Parent], proxy: Proxy) -> None:
    """Between the look at what another left and the word that it ended: it is at work, and stays so."""
    assert parent().set_status("RUNNING", process(1))
    left = parent()

    def take_over(path: str) -> int:
        if path.endswith("/update"):
            proxy.fault = lambda path: 0
            assert parent().set_status("RUNNING", process(2))
        return 0

    proxy.fault = take_over
    assert not left.set_status("KILLED")
    assert (parent().process, parent().status) == (process(2), "RUNNING")


@contextmanager
def once_it_is_written(client: MlflowClient, meddle: Callable[[], None]) -> Iterator[None]:
    """Inside, a thread meddles as soon as some runs of a new sweep are on record."""
    before, is_over = len(recorded(client)), threading.Event()

    def wait_and_meddle() -> None:
        while not is_over.wait(0.05):
            if len(recorded(client)) > before + 4:
                meddle()
                return

    with ThreadPoolExecutor(1) as pool:
        meddling = pool.submit(wait_and_meddle)
        try:
            yield
        finally:
            is_over.set()
        meddling.result()


@pytest.fixture
def client(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """The commands in this folder are about the server, to which nobody needs a password."""
    server.start()  # where a test before has left it killed
    server.wait()
    (folder / "mlflow.db").unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri.replace("//", "//me:s3cret@"))
    return MlflowClient(server.uri)


def test_killed_and_started_again(
    server: Server, client: MlflowClient, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line and the bar say that it waits; nothing is lost."""
    monkeypatch.setattr(patience, "LONGEST_S", 180.0)  # that is how slow a machine may be

    def again() -> None:
        server.kill()
        server.start()

    codes: list[int] = []
    with once_it_is_written(client, again):
        shown = STYLE.sub("", on_a_terminal(lambda: codes.append(command(*SWEPT)), 120))
    assert codes == [0]
    assert len(of_jobs(client)) == 40
    assert re.search(r"waiting for the store [\w ,…]*━", shown)
    left = "\n".join(left_on_screen(shown))
    assert left.count("waiting for the tracking store, for 180 s at most: ") == 1
    assert "Traceback" not in left


def test_away_for_good(
    server: Server,
    client: MlflowClient,
    command: Command,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What was trained is in one file, which the next command puts on record."""
    with monkeypatch.context() as patch:
        patch.setattr(patience, "LONGEST_S", 1.0)
        with once_it_is_written(client, server.kill):
            assert command(*SWEPT) == 1
    said = capfd.readouterr().err
    [file] = folder.glob("runs-not-on-record-*")
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if not line.startswith("waiting for the tracking store")]
    assert len(lines) == 2  # that jobs failed, and why
    assert f"the tracking store {server.uri} cannot be written: the server cannot be reached; " in said
    assert "s3cret" not in said + gzip.decompress(file.read_bytes()).decode()
    assert f" runs are kept in {file}, and put on record by the next " in said
    server.start()
    server.wait()
    assert command("resume=latest") == 0
    assert f"that were kept in {file}" in capfd.readouterr().out
    assert not list(folder.glob("runs-not-on-record-*"))
    assert len(of_jobs(client)) == 40
    assert {run.info.status for run in recorded(client) if is_parent(run)} == {"FINISHED"}


def test_a_client_that_is_killed(
    client: MlflowClient, proxy: Proxy, start: Start, command: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    """What it left by half is ended by the next command, and trained again."""
    process = start(*SWEPT, tracking_uri=proxy.uri)
    batches = itertools.count()

    def kill(path: str) -> int:
        if path.endswith("/log-batch") and next(batches) == 8:
            process.kill()
        return 0

    proxy.fault = kill
    process.communicate(timeout=120)
    proxy.wait()
    assert [run for run in recorded(client, "attributes.status = 'RUNNING'") if not is_parent(run)]
    assert compare.command([]) == 0
    assert not recorded(client, "attributes.status = 'RUNNING'")
    assert "of 40 runs came to their end; to go on: " in capfd.readouterr().err
    assert command("resume=latest") == 0
    assert len(of_jobs(client)) == 40


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("launcher", ["batch", "basic"])
def test_a_server_that_fails_before_the_training(
    launcher: str,
    proxy: Proxy,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """That is no mistake of the user's, whose password is not shown."""
    monkeypatch.setattr(patience, "LONGEST_S", 0.1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.uri.replace("//", "//me:s3cret@"))
    proxy.fault = lambda path: 503 if path.endswith("/runs/search") else 0
    assert command("-m", "lr=1e-2,1e-3", "epochs=5", f"hydra/launcher={launcher}") == 1
    said = capfd.readouterr().err
    why = f"the tracking store {proxy.uri} cannot be written: the server answers 503"
    assert f"{why}; nothing was trained" in said
    assert "s3cret" not in said
    assert "Traceback" not in said


@pytest.mark.usefixtures("folder")
def test_a_model_is_loaded_from_a_server_that_is_busy(
    store: Store, proxy: Proxy, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's own loader asks for it, not our client."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.uri)
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.01)
    assert command("epochs=5", "register=busy", "tracking.experiment=busy") == 0
    busy = in_turn([503, LOSE])
    proxy.fault = lambda path: 0 if "/mlflow-artifacts/" in path else busy(path)
    assert registry.load(store, "models:/busy").input == "t_u"
    assert proxy.faults >= 2
