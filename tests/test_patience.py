"""What of a store's errors may pass by itself, as MLflow's client raises them of real connections."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from src.tracking import patience
from src.tracking.patience import UNREACHABLE, Patience, away, patient

TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
LOST = "the server's answer was lost"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = WHOLE.replace(b"200", b"503")


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The address, without its scheme, of a server that answers so, whatever it is asked, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # it is closed
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def asked(uri: str) -> MlflowException:
    with pytest.raises(MlflowException) as raised:
        MlflowClient(uri).get_run("1")
    return raised.value


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", LOST),
        (WHOLE[:-1], LOST),
        (WHOLE.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked"), LOST),
        (BUSY, "the server answers 503"),
        (WHOLE.replace(b"200", b"404"), ""),
    ],
    ids=["none", "half", "half a chunk", "busy", "no such run"],
)
def test_an_answer_that_is_none(answer: bytes, why: str) -> None:
    with answering(answer) as host:
        assert away(asked(f"http://{host}")) == why


def test_a_server_that_speaks_no_https_is_told_at_once() -> None:
    with answering(WHOLE) as host:
        error = asked(f"https://{host}")
    assert away(error) == ""
    assert "SSL" in str(error)


def test_a_server_that_hangs_up_while_https_begins_may_come_back() -> None:
    with answering(b"") as host:
        assert away(asked(f"https://{host}")) == LOST


def test_a_proxy_that_does_not_hand_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as host:
        for proxy in (host, "127.0.0.1:1"):
            monkeypatch.setenv("https_proxy", f"http://{proxy}")
            assert away(asked("https://nowhere.invalid")) == UNREACHABLE


def unwell(uri: str, but: Callable[[], bool]) -> Callable[[], bool]:
    """A call that gets 503, but where it is said that it does not."""

    def call() -> bool:
        if not but():
            raise asked(uri)
        return True

    return call


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(patience, "LONGEST_PAUSE_S", 0.1)
    monkeypatch.setattr(patience, "MOMENT_S", 0.05)
    monkeypatch.setattr(patience, "LONGEST_S", 0.2)


@pytest.mark.usefixtures("impatient")
def test_it_is_told_once_that_calls_wait(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Though others come through meanwhile; and again the next time."""
    monkeypatch.setattr(patience, "LONGEST_S", 60.0)
    store = Patience()
    with answering(BUSY) as host, ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            over = time.monotonic() + 0.2
            each = unwell(f"http://{host}", lambda over=over: time.monotonic() > over)  # type: ignore[misc]
            waiting = [pool.submit(store, each) for _ in range(3)]
            while not waiting[0].done():
                store(lambda: time.sleep(0.01))
            assert all(one.result() for one in waiting)
            assert capfd.readouterr().err.count("waiting for the tracking store") == 1


@pytest.mark.usefixtures("impatient")
def test_a_store_that_was_away_long_ago_is_waited_for_anew() -> None:
    """What gave up then is no reason to give up at once now."""
    store = Patience()
    with answering(BUSY) as host:
        with pytest.raises(MlflowException):
            store(unwell(f"http://{host}", lambda: False))
        with pytest.raises(MlflowException):  # the next at once, for it is still away
            store(unwell(f"http://{host}", iter([False, True]).__next__))
        time.sleep(0.25)  # more than two pauses
        assert store(unwell(f"http://{host}", iter([False, True]).__next__))


@pytest.mark.parametrize("own", ["", "1"])
def test_a_server_that_takes_a_call_and_never_answers(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has as long as is set here, a second in this test, or as the user says."""
    monkeypatch.setenv(TIMEOUT, own)
    monkeypatch.setattr(patience, "LONGEST_ANSWER_S", 1 if not own else 600)
    if not own:
        monkeypatch.delenv(TIMEOUT)
    with socket.create_server(("127.0.0.1", 0)) as server:  # the system takes it, nobody reads it
        uri, begun = f"http://127.0.0.1:{server.getsockname()[1]}", time.monotonic()
        client = patient(MlflowClient(uri), lambda step: step(), lambda step: step())
        with pytest.raises(MlflowException) as raised:
            client.get_run("1")
    assert away(raised.value) == LOST
    assert time.monotonic() - begun < 60  # MLflow's own is 120
