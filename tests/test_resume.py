"""A sweep that ended early goes on: each point once on record, as if nothing had happened."""

import json
import re
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient

from src import compare
from src.workplace import Process
from tests.conftest import copy_of, train_in
from tests.record import curve, is_parent, recorded
from tests.test_processes import wait_for_runs

Command = Callable[..., int]
Start = Callable[..., subprocess.Popen[str]]

SWEPT = ["-m", "lr=1e-2,5e-3,1e-3", "epochs=20,40"]
UNLIKE = {"sweep", "mlflow.parentRunId", "mlflow.loggedModelId", "process"}  # ids
IN_LINKS = re.compile(r"(?<=[/:]m-)\w+|(?<=viewStateShareKey=)[\w-]+")  # the ids that a note links to


def on_record(client: MlflowClient, sweep: str) -> list[Any]:
    """All that is on record of a sweep, ids and times aside."""
    runs = recorded(client, f"tags.sweep = '{sweep}'")
    told = [
        (
            run.info.run_name,
            run.info.status,
            run.data.params,
            run.data.metrics,
            {key: IN_LINKS.sub("", value) for key, value in run.data.tags.items() if key not in UNLIKE},
            [] if is_parent(run) else curve(client, run),
            [dict(one.dataset) for one in run.inputs.dataset_inputs],
            sorted(file.path for file in client.list_artifacts(run.info.run_id)),
        )
        for run in runs
    ]
    return sorted(told, key=lambda one: (one[4].get("job", ""), one[0]))


def sweeps(client: MlflowClient) -> list[str]:
    """Their names, the newest first."""
    parents = [run for run in recorded(client) if is_parent(run)]
    parents.sort(key=lambda run: -run.info.start_time)
    return [run.data.tags["sweep"] for run in parents]


def cut_short(folder: Path, sweep: str, process: Process) -> None:
    """Leave of a sweep what a kill leaves: a parent that is RUNNING, one run killed, and two not there."""
    with sqlite3.connect(folder / "mlflow.db") as database:
        [(parent,)] = database.execute(
            "SELECT run_uuid FROM tags WHERE key = 'settings' AND run_uuid IN "
            "(SELECT run_uuid FROM tags WHERE key = 'sweep' AND value = ?)", [sweep]
        )  # fmt: skip
        jobs = dict(
            database.execute(
                "SELECT a.value, a.run_uuid FROM tags a JOIN tags b USING (run_uuid) "
                "WHERE a.key = 'job' AND b.key = 'sweep' AND b.value = ?", [sweep]
            )
        )  # fmt: skip
        database.execute("UPDATE runs SET status = 'RUNNING', name = ? WHERE run_uuid = ?", [sweep, parent])
        at_work = json.dumps(vars(process))
        database.execute(
            "UPDATE tags SET value = ? WHERE run_uuid = ? AND key = 'process'", [at_work, parent]
        )
        for job in ("1", "5"):
            for table in ("tags", "params", "metrics", "latest_metrics", "runs"):
                database.execute(f"DELETE FROM {table} WHERE run_uuid = ?", [jobs[job]])
            database.execute("DELETE FROM inputs WHERE destination_id = ?", [jobs[job]])
        database.execute("UPDATE runs SET status = 'KILLED' WHERE run_uuid = ?", [jobs["2"]])
        database.execute(
            "UPDATE tags SET value = 'killed' WHERE run_uuid = ? AND key = 'outcome'", [jobs["2"]]
        )
        database.execute("DELETE FROM metrics WHERE run_uuid = ? AND step > 10", [jobs["2"]])


@pytest.fixture
def gone() -> Process:
    """A process that has ended; its number may be another's by now."""
    with subprocess.Popen(["true"]) as process:
        started = psutil.Process(process.pid).create_time()
    return Process(Process.this().host, process.pid, started)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Path:
    """A folder with a sweep that nothing disturbed."""
    place = tmp_path_factory.mktemp("undisturbed")
    train_in(place, migrated_store, SWEPT)
    return place


@pytest.fixture
def swept(undisturbed: Path, client: MlflowClient, folder: Path) -> str:
    """The name of that sweep, as if it had been made in the test's folder."""
    copy_of(undisturbed, folder)
    [sweep] = sweeps(client)
    return sweep


@pytest.fixture
def whole(swept: str, client: MlflowClient, folder: Path, gone: Process) -> list[Any]:
    """The record of the sweep, which is cut short then."""
    told = on_record(client, swept)
    assert len(told) == 7
    cut_short(folder, swept, gone)
    assert on_record(client, swept) != told
    return told


@pytest.mark.parametrize(
    "again",
    [
        ["resume=latest"],
        pytest.param(["resume=NAME", "hydra/launcher=basic"], marks=pytest.mark.slow),
        [*SWEPT, "resume=true"],
        [*SWEPT, "resume=true", "hydra.launcher.batch_size=2"],
    ],
    ids=" ".join,
)
def test_it_goes_on(
    again: list[str],
    whole: list[Any],
    command: Command,
    client: MlflowClient,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """By its name or by its settings, under any launcher: what is there stays, what is not is trained."""
    [sweep] = sweeps(client)
    before = {run.info.run_id for run in recorded(client, "tags.outcome = 'stopped'")}
    capfd.readouterr()
    assert command(*(each.replace("NAME", sweep) for each in again)) == 0
    said = capfd.readouterr()
    assert f"going on with {sweep}: 3 of 6 runs came to their end" in said.out
    assert f"{sweep} ended early, 3 of 6 runs came to their end" in said.err
    assert on_record(client, sweep) == whole
    assert before < {run.info.run_id for run in recorded(client, "tags.outcome = 'stopped'")}


def places(client: MlflowClient) -> list[float]:
    """What is on record of the runs' places in the order, those that are trained to their end first."""
    found = [run for run in recorded(client) if not is_parent(run)]
    found.sort(key=lambda run: (run.data.tags["outcome"] == "killed", run.data.metrics["rank"]))
    return [run.data.metrics["rank"] for run in found]


def test_places_are_among_all(whole: list[Any], command: Command, client: MlflowClient) -> None:
    """Whoever ends a sweep ranks what there is; what went on ranks as if nothing had happened."""
    assert places(client) != [1, 2, 3, 4], "some that stood between them are gone"
    assert compare.command([]) == 0
    assert places(client) == [1, 2, 3, 4]
    assert command("resume=latest") == 0
    assert places(client) == [1, 2, 3, 4, 5, 6]
    assert on_record(client, sweeps(client)[0]) == whole


def test_what_is_complete_does_not_go_on(
    command: Command, client: MlflowClient, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command("-m", "lr=1e-2,1e-3", "epochs=2") == 0
    [sweep] = sweeps(client)
    for wrong, told in {
        f"resume={sweep}": f"{sweep} is complete",
        "resume=latest": "no sweep ended early",
        "-m lr=1e-2,1e-3 epochs=2 resume=true": f"{sweep} is complete",
        "-m lr=1e-2,1e-3 epochs=3 resume=true": "there is none with these settings",
        "resume='sweep\\'or\"mine'": f"the latest is {sweep}",
        "resume=sweep-of-mine": f"the latest is {sweep}",
        f"resume={sweep} epochs=3": "leave out epochs=3",
        "resume=true": "add -m",
        "-m lr=1e-2,1e-3 resume=true hydra.sweeper._target_=a.b": "proposes its points anew",
    }.items():
        capfd.readouterr()
        assert command(*wrong.split()) == 2, wrong
        said = capfd.readouterr().err.splitlines()
        assert len(said) == 1
        assert told in said[0]
    assert len(recorded(client)) == 3


def test_changed_data_are_refused(
    whole: list[Any],
    command: Command,
    client: MlflowClient,
    folder: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """And nothing is taken over; with the old readings again it goes on."""
    [sweep] = sweeps(client)
    readings = (folder / "data" / "thermometer.csv").read_text()
    (folder / "data" / "thermometer.csv").write_text(readings.replace("35.7", "35.8"))
    capfd.readouterr()
    assert command("resume=latest") == 2
    said = capfd.readouterr().err
    assert "cannot go on: what data/thermometer.csv holds was changed" in said
    assert {run.info.status for run in recorded(client) if is_parent(run)} == {"KILLED"}
    (folder / "data" / "thermometer.csv").write_text(readings)
    assert command("resume=latest") == 0
    assert on_record(client, sweep) == whole


@pytest.mark.slow
def test_changed_code_is_refused(
    command: Command, client: MlflowClient, folder: Path, gone: Process, start: Start
) -> None:
    """A model of one's own, edited; another process reads it anew."""
    model = folder / "bent.py"
    model.write_text("def bent(t_u, w, b, c):\n    return w * t_u + b + c * t_u**2\n")
    ours = ["model.function=bent.bent", *(f"model.start.{name}=0" for name in "wbc")]
    assert command("-m", "lr=1e-6,1e-7,1e-8", "epochs=5,6", *ours) == 0
    cut_short(folder, sweeps(client)[0], gone)
    model.write_text(model.read_text().replace("**2", "**3"))
    process = start("resume=latest")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "the code of the model was changed since" in errors


def test_a_sweep_at_work_is_left_alone(
    swept: str, command: Command, client: MlflowClient, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its process is there."""
    process = subprocess.Popen(["sleep", "600"])
    at_work = Process(Process.this().host, process.pid, psutil.Process(process.pid).create_time())
    cut_short(folder, swept, at_work)
    left = on_record(client, swept)
    capfd.readouterr()
    assert command("resume=latest") == 1
    said = capfd.readouterr().err.splitlines()
    assert said == [
        f"error: another process is at work on {swept} (process {at_work.pid} on {at_work.host}): "
        "wait until it ends"
    ]
    assert on_record(client, swept) == left
    process.kill()
    process.wait()


@pytest.mark.slow
def test_two_go_on_at_once(whole: list[Any], client: MlflowClient, start: Start) -> None:
    """One is told; each point is once on record. Only processes of their own draw pictures."""
    [sweep] = sweeps(client)
    both = [start("resume=latest") for _ in range(2)]
    said = [(process.communicate(timeout=120)[1], process.returncode) for process in both]
    assert sorted(code for _, code in said) in ([0, 1], [0, 2]), said  # 2: complete by then
    left = on_record(client, sweep)
    assert [told[:-1] for told in left] == [told[:-1] for told in whole]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["batch", "basic", "joblib"])
def test_killed_at_work(
    launcher: str,
    command: Command,
    client: MlflowClient,
    start: Start,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Really: its folder is gone after the next sweep, the record is that of one that nothing disturbed."""
    swept = ["-m", "lr=1e-2,1e-3", "epochs=20,100_000", "hydra.launcher.batch_size=3"]
    if launcher != "batch":
        swept[-1] = f"hydra/launcher={launcher}"
    process = start(*swept)
    wait_for_runs(client, 2 if launcher != "batch" else 4)
    for each in [*psutil.Process(process.pid).children(recursive=True), process]:
        each.kill()
    process.wait()
    capfd.readouterr()
    assert command("resume=latest") == 0
    [sweep] = sweeps(client)
    assert f"{sweep} ended early" in capfd.readouterr().err
    assert command(*swept) == 0
    first, second = (on_record(client, each) for each in reversed(sweeps(client)))
    assert first == second
    assert {run.info.status for run in recorded(client)} == {"FINISHED"}
