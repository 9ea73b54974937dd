"""A sqlite store is there whole or not at all: killed, shared, not to be written.

Expected tables: those that MLflow itself makes in a file. Processes, kills, locks and users are real.
"""

import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Timer

import pytest

from src import compare
from src.tracking import sqlite
from src.tracking.store import open_store
from tests.conftest import working_folder

NOBODY = 65534

# quick to start, and nothing is shared with this process
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.test_store"])

HOLD = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""

needs_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="becomes another user")


def tables(path: Path) -> dict[str, list[str]]:
    """The clauses of each table and index; SQLAlchemy puts some of them now in this order, now in that."""
    with closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
        return {name: sorted(line.strip("\t ,") for line in sql.splitlines()) for name, sql in found}


def open_in(folder: Path, user: int = 0, uri: str = "", experiment: str = "thermometer") -> None:
    os.chdir(folder)
    if user:
        os.setgid(user)
        os.setuid(user)
    if uri:
        os.environ["MLFLOW_TRACKING_URI"] = uri
    open_store(experiment)


def ended(process: multiprocessing.process.BaseProcess) -> int | None:
    process.join(120)
    return process.exitcode


def killed_after(delay_s: float, folder: Path) -> None:
    process = PROCESSES.Process(target=open_in, args=(folder,))
    process.start()
    process.join(delay_s)
    process.kill()
    process.join()


@pytest.fixture
def held() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Another program that holds a database; it lets go where its input ends."""
    started: list[subprocess.Popen[str]] = []

    def hold(path: Path) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        started.append(
            subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=pipe, stdout=pipe, text=True)
        )
        assert started[-1].stdout is not None
        assert started[-1].stdout.readline() == "held\n"
        return started[-1]

    yield hold
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def open_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, which every user may look into; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        working_folder(Path(name), monkeypatch)
        yield Path(name)
        monkeypatch.undo()


def told(capfd: pytest.CaptureFixture[str]) -> str:
    """The one line of an error."""
    out, err = capfd.readouterr()
    assert out == ""
    [line] = err.splitlines()
    return line


def test_a_fresh_store_is_mlflows(empty_folder: Path, migrated_store: Path) -> None:
    sqlite.make_ready(empty_folder / "mlflow.db")
    assert tables(empty_folder / "mlflow.db") == tables(migrated_store)


def test_an_empty_file_is_fresh(empty_folder: Path) -> None:
    (empty_folder / "mlflow.db").touch()
    sqlite.make_ready(empty_folder / "mlflow.db")
    assert sqlite.is_there(empty_folder / "mlflow.db")


@pytest.mark.slow
@pytest.mark.parametrize("kills", [6])
def test_killed_while_it_is_made(kills: int, tmp_path: Path) -> None:
    """At moments spread over the time that it takes: empty or whole, and the next command works."""
    (tmp_path / "measured").mkdir()
    process = PROCESSES.Process(target=open_in, args=(tmp_path / "measured",))
    killed_after(0, tmp_path)  # the first process is slow to start
    begun = time.monotonic()
    process.start()
    assert ended(process) == 0
    needed_s = time.monotonic() - begun
    whole = tables(tmp_path / "measured" / "mlflow.db")
    for kill in range(kills):
        folder = tmp_path / str(kill)
        folder.mkdir()
        killed_after(needed_s * (kill + 1) / kills, folder)
        if (folder / "mlflow.db").exists():
            assert tables(folder / "mlflow.db") in ({}, whole)
        again = PROCESSES.Process(target=open_in, args=(folder,))
        again.start()
        assert ended(again) == 0
        assert tables(folder / "mlflow.db") == whole
        assert {path.name for path in folder.iterdir()} <= {"mlflow.db", "mlruns"}


@pytest.mark.slow
def test_interrupted_while_it_is_made(
    start: Callable[..., subprocess.Popen[str]], empty_folder: Path
) -> None:
    """A Ctrl-C as soon as there is a file, when MLflow's tables are in the making."""
    process = start("epochs=1")
    while not (empty_folder / "mlflow.db").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    again = start("epochs=1")
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors


@pytest.mark.slow
def test_two_spellings_two_folders_two_users(open_folder: Path) -> None:
    """At once on an empty file that both may write, by its path and by a link to its folder."""
    store = open_folder / "shared" / "mlflow.db"
    store.parent.mkdir()
    store.parent.chmod(0o777)
    store.touch()
    store.chmod(0o666)
    (open_folder / "link").symlink_to("shared")
    user = NOBODY if os.geteuid() == 0 else 0
    ways = [(store.parent, 0, "", "one"), ("/", user, f"sqlite:///{open_folder}/link/mlflow.db", "two")]
    processes = [PROCESSES.Process(target=open_in, args=way) for way in ways]
    for process in processes:
        process.start()
    assert [ended(process) for process in processes] == [0, 0]
    with closing(sqlite3.connect(store)) as database:
        names = {name for (name,) in database.execute("SELECT name FROM experiments")}
    assert names == {"Default", "one", "two"}


@pytest.mark.slow
def test_it_is_locked_while_it_is_made(tmp_path: Path) -> None:
    """For programs that know nothing of this one, too, and by any path: hardly one look finds it empty."""
    (tmp_path / "link").symlink_to(tmp_path)
    process = PROCESSES.Process(target=open_in, args=(tmp_path,))
    process.start()
    seen = []
    while process.is_alive():
        try:
            address = f"file:{tmp_path}/link/mlflow.db?mode=ro"
            with closing(sqlite3.connect(address, uri=True, timeout=0)) as database:
                [(count,)] = database.execute("SELECT count(*) FROM sqlite_master")
                seen.append(f"{count} tables")
        except sqlite3.OperationalError as error:
            seen.append(str(error))
        time.sleep(0.01)
    assert ended(process) == 0
    assert seen.count("database is locked") > 10 * seen.count("0 tables")


def test_nothing_is_left_in_the_temporary_folder(
    command: Callable[..., int],
    empty_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    assert command("-m", "lr=1e-2,1e-3", "epochs=2") == 0
    assert list(folder.iterdir()) == []
    assert {path.name for path in empty_folder.iterdir()} == {"data", "mlflow.db", "mlruns"}


def test_it_waits_with_a_word(
    held: Callable[[Path], subprocess.Popen[str]],
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sqlite, "MOMENT_S", 0.1)
    holder = held(empty_folder / "mlflow.db")
    Timer(1, holder.kill).start()
    open_store("thermometer")
    assert told(capfd) == f"waiting for another process that holds {empty_folder / 'mlflow.db'} …"


def test_it_ends_with_a_word(
    held: Callable[[Path], subprocess.Popen[str]],
    command: Callable[..., int],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sqlite, "LONGEST_WAIT_S", 0.2)
    held(folder / "mlflow.db")
    assert command("epochs=1") == 2
    assert "mlflow.db has been locked by another process for more than 0.2 s" in told(capfd)
    assert compare.command([]) == 2
    assert "has been locked by another process" in told(capfd)


@pytest.mark.usefixtures("empty_folder")
def test_a_store_in_no_file(
    command: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite://")
    assert command("epochs=1") == 2
    assert "names no file" in told(capfd)


def run_in(folder: Path, code: str, user: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python's code in a process of its own, as this user or another."""
    other = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
    kept = {key: value for key, value in os.environ.items() if key != "HOME"}
    return subprocess.run(
        [*other, sys.executable, "-c", f"import sys; {code}"],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(Path(__file__).parents[1])} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


TRAIN = "from src import train; sys.argv[1:] = ['epochs=1']; sys.exit(train.command())"
COMPARE = "from src import compare; sys.exit(compare.command([]))"


@pytest.mark.slow
@needs_root
def test_who_may_not_write(open_folder: Path, migrated_store: Path, command: Callable[..., int]) -> None:
    """Another user is told before training, in a line; to read is enough for a comparison."""
    shutil.copy(migrated_store, open_folder)
    assert command("-m", "lr=1e-2,1e-3", "epochs=2") == 0
    done = run_in(open_folder, TRAIN, NOBODY, HOME="/nonexistent")
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert "readonly database; make it and its folder writable" in line
    done = run_in(open_folder, COMPARE, NOBODY, HOME="/nonexistent")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0.001" in done.stdout


@needs_root
@pytest.mark.parametrize("line", [TRAIN, COMPARE])
def test_no_home(line: str, open_folder: Path) -> None:
    """A user whom the system does not know, as in a container."""
    done = run_in(open_folder, line, user=54321)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: this user has no home folder, and MLflow needs one: name any in HOME\n"


@pytest.mark.parametrize("line", [TRAIN, COMPARE.replace("[]", "['--model']")])
def test_no_temporary_folder(line: str, empty_folder: Path) -> None:
    """Python looks in a few places, and in the current folder last."""
    nowhere = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/nonexistent']; "
    done = run_in(empty_folder, nowhere + line, HOME="/nonexistent")
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.endswith("in ['/nonexistent']: name one that can be written in TMPDIR")
    assert not (empty_folder / "mlflow.db").exists()
