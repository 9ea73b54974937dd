"""A registered model behind `mlflow models serve`, where neither this project nor torch is installed."""

import csv
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from src import predict
from src.tracking import best_run, model
from src.tracking.store import existing
from tests.test_carried import bare_environment, bare_variables
from tests.test_processes import wait_for_server
from tests.test_readme import README, shown

pytestmark = pytest.mark.slow


class Reply(NamedTuple):
    status: int
    content: dict[str, Any]


class Server(NamedTuple):
    """A scoring server; `log` is what it has printed."""

    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def post(self, body: str, content_type: str = "application/json") -> Reply:
        request = urllib.request.Request(
            f"{self.address}/invocations", body.encode(), {"Content-Type": content_type}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return Reply(response.status, json.loads(response.read(), parse_constant=refuse))
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, json.loads(error.read()))

    def wait_until_up(self, limit_s: float = 180) -> None:
        deadline = time.monotonic() + limit_s
        while True:
            try:
                with urllib.request.urlopen(f"{self.address}/ping", timeout=5):
                    return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.2)  # between one look and the next


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and the processes that it has started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[[str], Server]]:
    """Serves a model of the folder's store."""
    python = bare_environment(folder)
    uvicorn = python.parent / "uvicorn"  # MLflow starts it by name
    uvicorn.write_text(f"#!{python}\nfrom uvicorn.main import main\nmain()\n")
    uvicorn.chmod(0o755)
    path = os.pathsep.join([str(python.parent), os.defpath])
    started: list[subprocess.Popen[bytes]] = []

    def start(uri: str) -> Server:
        port, log = free_port(), folder / "serve.log"
        command = [python, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--port", str(port)], cwd=folder, env=bare_variables() | {"PATH": path},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        started.append(process)
        server = Server(f"http://127.0.0.1:{port}", process, log)
        server.wait_until_up()
        return server

    yield start
    for process in started:
        stop(process)


BOTH_WAYS = [
    # the same two readings, and the same two temperatures, in every form that the server takes
    ("t_c", '{"dataframe_split": {"columns": ["t_u"], "data": [[35.7], [100]]}}', "application/json"),
    ("t_c", '{"dataframe_records": [{"t_u": 35.7}, {"t_u": 100}]}', "application/json"),
    ("t_c", '{"inputs": {"t_u": [35.7, 100]}}', "application/json"),
    ("t_c", '{"inputs": [{"t_u": 35.7}, {"t_u": 100}]}', "application/json"),
    ("t_c", '{"dataframe_records": [{"t_u": 35.7, "t_c": null}, {"t_u": 100}]}', "application/json"),
    ("t_c", '{"dataframe_records": [{"t_u": "35.7", "x": "y"}, {"t_u": 100}]}', "application/json"),
    ("t_c", "t_u\n35.7\n100\n", "text/csv"),
    ("t_u", '{"dataframe_split": {"columns": ["t_c"], "data": [[14], [40]]}}', "application/json"),
    ("t_u", '{"dataframe_records": [{"t_c": 14}, {"t_c": 40}]}', "application/json"),
    ("t_u", '{"inputs": {"t_c": [14, 40]}}', "application/json"),
    ("t_u", "t_c\n14\n40\n", "text/csv"),
]

MISTAKES = {
    # the request -> what the answer must name
    '{"dataframe_records": [{"x": 40}]}': "neither of the columns t_u and t_c given",
    '{"dataframe_records": []}': "neither of the columns",
    '{"inputs": [1, 2]}': "neither of the columns",
    '{"inputs": {"x": [1]}}': "neither of the columns",
    '{"dataframe_records": [{"t_u": "abc"}]}': "column t_u: abc in row 1",
    '{"dataframe_records": [{"t_u": true}]}': "column t_u: True in row 1",
    '{"inputs": {"t_u": ["abc"]}}': "column t_u: abc in row 1",
    '{"dataframe_records": [{"t_u": null, "t_c": null}]}': "neither of the columns",
    '{"dataframe_records": [{"t_u": 1}], "params": {"coverage": 2}}': "coverage 2.0 is not allowed",
    '{"dataframe_records": [{"t_u": 1}], "params": {"sigma": 0, "replicates": 0}}': "replicates 0 is not",
    '{"dataframe_records": [{"t_u": 1}], "params": {"replicates": 1.5}}': "replicates",
    '{"dataframe_records": [{"t_u": 1e400}]}': "column t_u: inf in row 1",
    '{"dataframe_records": [{"t_u": [1, 2]}]}': "t_u",
    '{"dataframe_split": {"columns": ["t_u"], "data": [[1, 2]]}}': "not a valid dataframe",
    '{"inputs": "x"}': "x",
    '{"t_u": 1}': "exactly one of the input fields",
    "[1]": "must be a JSON dictionary",
    "{nonsense": "valid JSON",
    "": "valid JSON",
}


def register_with_uncertainty(command: Callable[..., int]) -> None:
    """The chapter's line, with its uncertainty on record."""
    assert command("+experiment=book") == 0
    store = existing("thermometer")
    run = best_run.best(store).run
    assert model.log(store, run, register="thermometer").uri == "models:/thermometer/1"


def told_by_predict(capsys: pytest.CaptureFixture[str], *given: str) -> list[dict[str, str]]:
    """What `predict best` answers, less what was given."""
    capsys.readouterr()
    assert predict.command(["best", *given]) == 0
    rows = csv.reader(capsys.readouterr().out.splitlines())
    header = next(rows)[1:]
    return [dict(zip(header, row[1:], strict=True)) for row in rows]


def as_told(answer: dict[str, Any]) -> dict[str, str]:
    """As `predict` writes it."""
    return {
        name: ""
        if each is None
        else str(each).removesuffix(".0").replace("True", "true").replace("False", "false")
        for name, each in answer.items()
    }


def assert_params_are_options(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """What a request asks of the interval is what the command's options ask."""
    for params, options in (
        ({"coverage": 0.5, "replicates": 3}, ("--coverage", "0.5", "--replicates", "3")),
        ({"curve": True}, ("--curve",)),
        ({"sigma": 0.5}, ("--sigma", "0.5")),
    ):
        for column, given in (("t_u", ("35.7",)), ("t_c", ("--inverse", "14"))):
            reply = server.post(json.dumps({"inputs": {column: [float(given[-1])]}, "params": params}))
            assert list(map(as_told, reply.content["predictions"])) == told_by_predict(
                capsys, *given, *options
            )


def assert_gaps_are_null(server: Server) -> None:
    """A row without a number keeps its place; with both columns each row is checked."""
    reply = server.post('{"dataframe_records": [{"t_u": 35.7}, {"t_u": null}]}')
    first, second = reply.content["predictions"]
    assert first["uncertainty"] == pytest.approx(2.05691701668265, rel=1e-9), "by mpmath, see test_intervals"
    assert set(second.values()) == {None}
    for body, kind in (
        ('{"dataframe_records": [{"t_u": 36, "t_c": 5}, {"t_u": 40}, {"t_c": 5}]}', "application/json"),
        ("t_u,t_c\n36,5\n40,\n,5\n", "text/csv"),
    ):
        pair, reading, value = server.post(body, kind).content["predictions"]
        assert pair["deviation"] == pytest.approx(5 - pair["predicted"])
        assert (reading["predicted"] is None, reading["deviation"]) == (False, None)
        assert set(value.values()) == {None}


def test_a_server_answers_as_predict_does_and_outlives_every_mistake(
    serve: Callable[[str], Server],
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    register_with_uncertainty(command)
    server = serve("models:/thermometer/1")
    for other, given in (("t_c", ("35.7", "100")), ("t_u", ("--inverse", "14", "40"))):
        told = told_by_predict(capsys, *given)
        for body in (each[1:] for each in BOTH_WAYS if each[0] == other):
            reply = server.post(*body)
            assert reply.status == 200, (body, reply)
            assert list(map(as_told, reply.content["predictions"])) == told
            assert [answer["in_range"] for answer in reply.content["predictions"]] == [True, False]
    assert_params_are_options(server, capsys)
    assert_gaps_are_null(server)
    for wrong, words in MISTAKES.items():
        reply = server.post(wrong)
        assert reply.status == 400, (wrong, reply)
        assert words in reply.content["message"], (wrong, reply)
    assert server.post("t_u\nabc\n", "text/csv").status == 400
    assert server.post(BOTH_WAYS[0][1]).status == 200, "it lives on"
    assert "1 of 2 readings are outside the calibrated range, 21.8 to 81.9" in server.log.read_text()


def test_where_no_reading_leads_the_server_answers_null(
    serve: Callable[[str], Server], command: Callable[..., int]
) -> None:
    """NaN would be no JSON."""
    assert command("model=quadratic", "normalization=zscore", "lr=0.1", "epochs=500") == 0
    store = existing("thermometer")
    run = best_run.best(store).run
    model.log(store, run, register="parabola")
    beyond = -1e9 if run.metrics["w2"] > 0 else 1e9
    reply = serve("models:/parabola/1").post(json.dumps({"inputs": {"t_c": [14, beyond]}}))
    assert reply.status == 200
    [there, nowhere] = reply.content["predictions"]
    assert there["in_range"] is True
    assert {name for name, each in nowhere.items() if each is not None} == {"in_range", "remark"}
    assert nowhere["in_range"] is False


@pytest.fixture
def tracking_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real MLflow server on loopback; it is where this process tracks."""
    (folder / "mlflow.db").rename(folder / "server.db")
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{folder / 'server.db'}"),
            *("--artifacts-destination", str(folder / "served")),
        ],
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for_server(f"http://127.0.0.1:{port}", limit_s=180)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)


def test_a_model_goes_through_a_tracking_server(
    tracking_server: str, folder: Path, command: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    assert command("+experiment=book") == 0
    store = existing("thermometer")
    assert store.uri == tracking_server
    run = best_run.best(store).run
    before = store.client.get_run(run.run_id).to_dictionary()
    capfd.readouterr()
    logged = model.log(store, run, register="thermometer")
    assert model.log(store, run, register="thermometer") == logged
    assert capfd.readouterr() == ("", "")
    assert store.client.get_run(run.run_id).to_dictionary() | {"outputs": None} == before | {"outputs": None}
    assert predict.command(["best", "35.7", "-4"]) == 0
    answer = capfd.readouterr()
    assert answer.out.startswith("t_u,t_c,uncertainty,lower,upper,in_range,remark\n35.7,1.859")
    for which in (run.run_id, logged.uri, "models:/thermometer"):
        assert predict.command([which, "35.7", "-4"]) == 0
        told = capfd.readouterr()
        assert told.out == answer.out
        assert answer.err == f"best: {run.name}, run {run.run_id}\n{told.err}"
    assert not (folder / "mlflow.db").exists()


def test_the_readmes_request_gets_the_readmes_answer(
    command: Callable[..., int], serve: Callable[[str], Server]
) -> None:
    [sweep] = re.findall(r"^    \$ python -m src\.train (-m .*)$", README, re.MULTILINE)
    [uri] = re.findall(
        r"^    mlflow models serve -m (\S+) --env-manager local --port 5001$", README, re.MULTILINE
    )
    [curl] = re.findall(r"^    \$ (curl .*:5001/invocations .*)$", README, re.MULTILINE)
    assert command(*shlex.split(sweep)) == 0
    told = serve(uri).post(shlex.split(curl)[-1]).content["predictions"]
    [line] = shown(curl)
    expected = json.loads(line)["predictions"]
    assert [each["t_c"] for each in told] == pytest.approx([each["t_c"] for each in expected], abs=1e-4)
    assert [each["in_range"] for each in told] == [each["in_range"] for each in expected]
    assert [list(each) for each in told] == [list(each) for each in expected]
