"""Whatever ends a command, or whoever stops reading it: the record is whole, and the shell is told."""

import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from src import __main__
from tests.conftest import ROOT
from tests.record import is_parent, recorded
from tests.test_processes import wait_for_runs
from tests.test_resume import sweeps

pytestmark = pytest.mark.slow

Start = Callable[..., subprocess.Popen[str]]
LONG = "epochs=200_000_000,300_000_000"
TRAIN = f"{sys.executable} -m src.train"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120, check=False)


def statuses(client: MlflowClient) -> set[str]:
    return {run.info.status for run in recorded(client)}


def look(terminal: int, is_closed: threading.Event) -> None:
    """As a terminal does: one that nobody reads stops who writes to it."""
    while not is_closed.is_set():
        if select.select([terminal], [], [], 0.1)[0]:
            os.read(terminal, 65536)
    os.close(terminal)


@pytest.mark.usefixtures("environment")
def test_a_terminal_that_closes(client: MlflowClient, folder: Path) -> None:
    """Like SIGTERM: what was reached is on record, and nothing is RUNNING."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execv(sys.executable, [sys.executable, "-m", "src.train", "-m", "lr=1e-2,1e-3", LONG])
    is_closed = threading.Event()
    threading.Thread(target=look, args=(terminal, is_closed)).start()
    try:
        wait_for_runs(client, 1)
        time.sleep(2)
    finally:
        is_closed.set()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 129
    assert statuses(client) == {"KILLED"}


@pytest.mark.usefixtures("environment")
def test_nohup_goes_on(client: MlflowClient) -> None:
    command = ["nohup", sys.executable, "-m", "src.train", "-m", "lr=1e-2", "epochs=300_000,10"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for_runs(client, 1)
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 0
    assert statuses(client) == {"FINISHED"}


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("command", ["src.train", "src.compare", "src.predict", "src"])
def test_a_ctrl_c_at_the_very_beginning(command: str, folder: Path) -> None:
    """While Python imports what the command is made of: no traceback, and a shell sees 130."""
    del folder
    for moment in (0, 0.05, 0.2):
        process = subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", command, *(["train"] if command == "src" else [])],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr
        while not process.stderr.readline().rstrip().endswith("src.early"):  # what comes before is Python's
            pass
        time.sleep(moment)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode in (-signal.SIGINT, 130, 2)  # 2: it was done by then, with a mistake
        assert "Traceback" not in errors, errors


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("line", "code", "told"),
    [("TRAIN ARGS | head -n 1", 0, ""), ("TRAIN ARGS >&-", 0, ""), ("TRAIN ARGS 2>&-", 0, ""),
     ("TRAIN ARGS 2>/dev/full", 0, ""), ("TRAIN ARGS hydra/launcher=joblib >&- 2>&-", 0, ""),
     ("TRAIN ARGS >/dev/full", 1, "error: the output cannot be written: No space left on device\n")],
)  # fmt: skip
def test_nobody_reads(line: str, code: int, told: str, client: MlflowClient) -> None:
    """Neither the runs nor their page fail."""
    line = line.replace("TRAIN", TRAIN).replace("ARGS", "-m lr=1e-2,1e-3 epochs=20")
    done = shell(f"set -o pipefail; {line}")
    assert done.returncode == code, done.stderr
    assert done.stderr == told
    assert statuses(client) == {"FINISHED"}
    [parent] = [run for run in recorded(client) if is_parent(run)]
    pages = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert pages > {"runs.csv", "sweep.html", "loss_curves.png"}


@pytest.mark.usefixtures("environment", "folder")
@pytest.mark.parametrize(
    ("line", "code", "said", "told"),
    [("--help | head -n 1", 0, f"{(__main__.__doc__ or '').splitlines()[0]}\n", ""),
     ("--help >/dev/full", 1, "", "error: the output cannot be written: No space left on device\n"),
     ("nothing 2>&-", 2, "", "")],
)  # fmt: skip
def test_nobody_reads_of_the_commands(line: str, code: int, said: str, told: str) -> None:
    done = shell(f"set -o pipefail; {sys.executable} -m src {line}")
    assert (done.returncode, done.stdout, done.stderr) == (code, said, told)


@pytest.mark.usefixtures("environment")
def test_ctrl_c_into_a_pipe(client: MlflowClient) -> None:
    """A shell sends it to the whole group: `tee` is gone when the sweep's end is printed."""
    line = f"set -o pipefail; {TRAIN} -m lr=1e-2,1e-3 {LONG} | tee log.txt"
    process = subprocess.Popen(
        ["bash", "-c", line], start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    wait_for_runs(client, 1)
    time.sleep(2)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    [sweep] = sweeps(client)
    last = f"ended early, 0 of 4 runs came to their end; to go on: python -m src.train resume={sweep}"
    assert errors.splitlines()[-1] == last
    assert statuses(client) == {"KILLED"}
    [parent] = [run for run in recorded(client) if is_parent(run)]
    assert parent.data.tags["mlflow.note.content"].startswith(last)
    assert "sweep.html" in {file.path for file in client.list_artifacts(parent.info.run_id)}


def test_a_worker_that_is_killed(start: Start, client: MlflowClient) -> None:
    """Under joblib: the sweep is FAILED, says how much is missing, and goes on."""
    process = start(
        "-m", "lr=1e-2,1e-3", "epochs=20,400_000", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"
    )
    wait_for_runs(client, 2)
    for child in psutil.Process(process.pid).children(recursive=True):
        if "LokyProcess" in " ".join(child.cmdline()):
            child.kill()
            break
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert "Traceback" not in errors
    [sweep] = sweeps(client)
    assert f"of 4 runs came to their end; to go on: python -m src.train resume={sweep}" in errors
    [parent] = [run for run in recorded(client) if is_parent(run)]
    assert parent.info.status == "FAILED"
    again = start("resume=latest")
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert statuses(client) == {"FINISHED"}
    assert len(recorded(client)) == 5
