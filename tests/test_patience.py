"""What of a store's errors may pass by itself, as MLflow's client raises them of real connections."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from src.tracking.patience import UNREACHABLE, away

LOST = "the server's answer was lost"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


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
        (WHOLE.replace(b"200", b"503"), "the server answers 503"),
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
