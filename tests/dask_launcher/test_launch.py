"""Batches on a cluster, and what goes wrong there: real schedulers, real workers, killed for real."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, wait_until
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

CONFIG = """
defaults:
  - override hydra/launcher: dask
  - override hydra/hydra_logging: none
  - override hydra/job_logging: none
x: 0
wait_s: 0
deadly: null
deadly_once: null
hydra:
  sweep: {dir: out}
  launcher: {batch_size: 1, wait_s: 5}
"""
LAUNCHER = "defaults: [base_dask]\nsend: app.send\nwork: app.work\nreceive: app.receive\n"

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the application and its config."""
    folder = tmp_path_factory.mktemp("app")
    shutil.copy(Path(__file__).parent / "app.py", folder)
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "hydra" / "launcher").mkdir(parents=True)
    (folder / "hydra" / "launcher" / "dask.yaml").write_text(LAUNCHER)
    return folder


@pytest.fixture(scope="module")
def cluster(app: Path) -> Iterator[Cluster]:
    """Two workers; the scheduler gives a batch up when a second one has died of it."""
    os.environ["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = "1"
    try:
        found = Cluster(app)
    finally:
        del os.environ["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"]
    found.worker()
    found.worker()
    yield found
    found.close()


@pytest.fixture
def start(app: Path) -> Iterator[Start]:
    """The application's sweep, in a group of processes of its own."""
    for each in app.glob("begun-*"):
        each.unlink()
    started: list[subprocess.Popen[str]] = []

    def run(*args: str, cluster: Cluster | None = None, **environment: str) -> subprocess.Popen[str]:
        where = "workers=2" if cluster is None else f"scheduler={cluster.address}"
        started.append(
            subprocess.Popen(
                [sys.executable, "-W", "error", "app.py", "-m", f"hydra.launcher.{where}", *args],
                cwd=app,
                env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def squares(output: str) -> dict[int, str]:
    found = re.findall(r"^(\d+) squared: (\w+)$", output, re.MULTILINE)
    assert len(found) == len(dict(found)), "a batch was received twice"
    return {int(x): result for x, result in found}


def begun(folder: Path) -> set[int]:
    return {int(each.name.partition("-")[2]) for each in folder.glob("begun-*")}


def test_processes_of_this_machine(start: Start) -> None:
    """The worker that dies the first time is started anew, and its batch done again; but not for ever."""
    process = start("x=range(6)", "deadly_once=3", "deadly=5")
    output, errors = process.communicate(timeout=60)
    assert squares(output) == {x: str(x**2) for x in range(5)}
    told = r"^cluster      2 workers at tls://127\.0\.0\.1:\d+; dashboard http://\S+$"
    assert re.search(told, output, re.MULTILINE)
    assert process.returncode == 1
    assert "1 of 6 jobs failed:\n  job 5 (x=5 " in errors
    assert "2 workers died of this batch, lastly tls://" in errors


def test_a_poisonous_batch_fails_alone(start: Start, cluster: Cluster) -> None:
    process = start("x=range(12)", "wait_s=0.1", "deadly=4", cluster=cluster)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert squares(output) == {x: str(x**2) for x in range(12) if x != 4}
    assert "1 of 12 jobs failed:\n  job 4 (x=4 " in errors
    assert "2 workers died of this batch, lastly tcp://" in errors


@pytest.mark.parametrize(
    ("size", "first", "reached"), [(1, {0, 1}, {0, 1}), (100, {0, 3}, {0, 1, 2, 3, 4, 5})]
)
def test_an_interrupt_leaves_nothing_at_work(
    size: int, first: set[int], reached: set[int], start: Start, cluster: Cluster, app: Path
) -> None:
    """What was reached is received, what was not sent is not begun; each worker has a part of few jobs.

    Processes of this machine are of the group that gets it.
    """
    where = None if size == 100 else cluster
    process = start("x=range(6)", "wait_s=100", f"hydra.launcher.batch_size={size}", cluster=where)
    wait_until(lambda: begun(app) == first, "no batch was begun")
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert squares(output) == dict.fromkeys(reached, "None")
    assert begun(app) == first
    wait_until(lambda: cluster.is_idle, "a worker is still at work", 5)


def test_a_client_that_is_killed_leaves_the_cluster_idle(start: Start, cluster: Cluster, app: Path) -> None:
    process = start("x=range(6)", "wait_s=100", cluster=cluster)
    wait_until(lambda: len(begun(app)) == 2, "no batch was begun")
    process.kill()
    wait_until(lambda: cluster.is_idle, "a worker is still at work", 20)


def refusal(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "squared" not in output
    [told] = re.findall(r"ClusterError: (.*)", errors)
    return told


def test_what_cannot_be_used_is_refused_by_name(
    start: Start, cluster: Cluster, app: Path, tmp_path: Path
) -> None:
    """Before anything is sent: no scheduler, no resources, other code and versions, none at all."""
    gone = start("x=1", "hydra.launcher.scheduler=tcp://127.0.0.1:9")
    without = start("x=1", "+hydra.launcher.resources.GPU=1", cluster=cluster)
    assert refusal(gone).startswith("no scheduler answers at tcp://127.0.0.1:9: start one with `dask sche")
    asked = f"start one with `dask worker {cluster.address} --resources 'GPU=1'`"
    assert refusal(without) == f"the scheduler at {cluster.address} has no worker with GPU=1: {asked}"
    (tmp_path / "without").mkdir()
    (tmp_path / "app.py").write_text("def work(jobs, stop): return [0 for _ in jobs]")
    for folder, version in ((app, "1.0"), (tmp_path, "2.0")):
        (folder / f"ruler-{version}.dist-info").mkdir()
        (folder / f"ruler-{version}.dist-info" / "METADATA").write_text(f"Name: ruler\nVersion: {version}\n")
    workers = [cluster.worker(nanny=False, folder=each) for each in (tmp_path, tmp_path / "without")]
    try:
        told = refusal(start("x=1", "hydra.launcher.packages=[ruler]", cluster=cluster))
        assert re.search(r"tcp://\S+: code [0-9a-f]{12} \(here \w{12}\), ruler 2\.0 \(here 1\.0\)", told)
        assert re.search(r"tcp://\S+: code none \(here \w{12}\), ruler none \(here 1\.0\)", told)
    finally:
        for each in workers:
            each.terminate()
            each.wait(30)


def test_a_worker_that_comes_late_with_other_code_is_a_line(
    start: Start, cluster: Cluster, app: Path, tmp_path: Path
) -> None:
    """It would take every batch that is left, and give each back at once."""
    (tmp_path / "app.py").write_text("def work(jobs, stop): return [0 for _ in jobs]")
    process = start("x=range(20)", "wait_s=1", cluster=cluster)
    wait_until(lambda: begun(app), "no batch was begun")
    late = cluster.worker(nanny=False, folder=tmp_path)
    try:
        errors = line_of(process)
        assert re.search(r"ConnectionError: the worker at tcp://\S+ has code \w+ \(here \w+\): ", errors)
        wait_until(lambda: cluster.is_idle, "a worker is still at work", 10)
    finally:
        late.terminate()
        late.wait(30)


def test_a_scheduler_that_cannot_read_what_is_sent(start: Start, app: Path, tmp_path: Path) -> None:
    shutil.copy(app / "app.py", tmp_path)
    cluster = Cluster(tmp_path, hidden="hydra_plugins")
    try:
        cluster.worker(nanny=False)
        told = refusal(start("x=1", cluster=cluster))
        assert told.startswith(f"the scheduler at {cluster.address} cannot read what is sent (")
        assert told.endswith("): start it where python finds this project")
    finally:
        cluster.close()


def test_lost_workers_and_a_lost_scheduler_are_a_line(start: Start, app: Path, tmp_path: Path) -> None:
    shutil.copy(app / "app.py", tmp_path)
    cluster = Cluster(tmp_path)
    try:
        worker = cluster.worker(nanny=False)
        swept = ("x=range(6)", "wait_s=100", "hydra.launcher.wait_s=2")
        process = start(*swept, cluster=cluster)
        wait_until(lambda: begun(tmp_path), "no batch was begun")
        worker.kill()
        told = f"ConnectionError: the scheduler at {cluster.address} has no worker any more: "
        assert told in line_of(process)
        worker = cluster.worker(nanny=False)
        (tmp_path / "begun-0").unlink()
        process = start(*swept, cluster=cluster)
        wait_until(lambda: begun(tmp_path), "no batch was begun")
        cluster.scheduler.kill()
        assert f"ConnectionError: the scheduler at {cluster.address} was lost: what" in line_of(process)
        worker.wait(10)  # it does not work on for nobody
    finally:
        cluster.close()


def line_of(process: subprocess.Popen[str]) -> str:
    since = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - since < 45
    assert process.returncode == 1
    assert " - ERROR - " not in errors, "dask's own words are no line"
    return errors
