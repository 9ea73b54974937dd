"""A store that is away for a moment is asked again, with growing pauses, and soon with a line that says so.

A server is restarted, answers that it has too much to do, or its answer is lost on the way; a database is
held or restarted. MLflow would ask a server again silently, and make a second run where an answer was lost.
"""

from __future__ import annotations

import math
import os
import re
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from ssl import SSLEOFError
from typing import Any, TypeVar, cast

from mlflow import MlflowClient
from mlflow.environment_variables import (
    MLFLOW_HTTP_POOL_MAXSIZE,
    MLFLOW_HTTP_REQUEST_MAX_RETRIES,
    MLFLOW_HTTP_REQUEST_TIMEOUT,
)
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE, ErrorCode
from requests.exceptions import (
    ChunkedEncodingError,
    ConnectionError,
    ProxyError,
    RetryError,
    SSLError,
    Timeout,
)
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from hydra_plugins.batch_launcher import meanwhile

from ..terminal.interrupts import is_asked_to_stop
from .sqlite import brief

LONGEST_S = 60.0  # since the first call in vain
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
LONGEST_ANSWER_S = 20  # of a server that was asked; MLflow itself would wait for two minutes each time
AT_ONCE = 16  # calls to a server side by side; of twice as many it does no more
MOMENT_S = 2.0  # of waiting, until that is said
# What each call makes anew: who calls looks for what a lost answer was about, before it calls again
MADE_ANEW = ("create_run", "create_logged_model", "create_model_version")
UNREACHABLE = "the server cannot be reached"

A = TypeVar("A")
Ask = Callable[[Callable[[], Any]], Any]


def away(error: BaseException) -> str:
    """What of an error may pass by itself; empty for what will not."""
    causes = list(_causes(error))
    if any(getattr(cause, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY for cause in causes):
        return ""
    if isinstance(error, MlflowException) and error.error_code == ErrorCode.Name(TEMPORARILY_UNAVAILABLE):
        return brief(error)

    def is_any(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if is_any(SSLError) and not is_any(SSLEOFError):  # no certificate, or no https at all
        return ""
    if is_any(NewConnectionError, ConnectTimeoutError, ProxyError):
        return UNREACHABLE
    if is_any(RetryError):
        status = re.search(r"too many (\d+) error", str(error))
        return f"the server answers {status[1]}" if status else "the server is busy"
    if is_any(ConnectionError, Timeout, ChunkedEncodingError):
        return "the server's answer was lost"
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """It, and what it is because of; urllib3's own are told by requests as the reason in an argument."""
    while error is not None:
        yield error
        reason = getattr(error.args[0], "reason", None) if error.args else None
        if isinstance(reason, BaseException):
            yield reason
        error = error.__cause__ or error.__context__


class Patience:
    """Of all calls to one store, from whichever thread: what one of them learns holds for all."""

    def __init__(self) -> None:
        self.has_answered = False
        self.since: float | None = None  # the store has been away
        self.failed = -math.inf  # when the last call in vain ended
        self.waiting = 0  # how many calls are
        self.is_told = False
        self.lock = threading.Lock()

    def __call__(self, step: Callable[[], A], done: Callable[[], A | None] | None = None) -> A:
        """What the step gives once the store answers; raises what it raises where that takes too long.

        `done` looks for what a call made whose answer was lost; without it the step can be repeated. A server
        that has never answered is not away, its address is wrong.
        """
        begun, pause_s, asked = None, FIRST_PAUSE_S, time.monotonic()
        with ExitStack() as waiting:
            while True:
                tried = time.monotonic()
                try:
                    made = (begun and done and done()) or step()
                    self.has_answered, self.since = True, None
                    return made
                except Exception as error:
                    why = away(error)
                    if not why or (why == UNREACHABLE and not self.has_answered):
                        raise
                    if not begun:
                        begun = time.monotonic()
                        waiting.enter_context(self._one_that_waits())
                    since = self._away_since(tried, begun)
                    if time.monotonic() - min(begun, since) > LONGEST_S or is_asked_to_stop():
                        raise
                    self._wait(why, time.monotonic() + pause_s, min(asked, since))
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _away_since(self, tried: float, begun: float) -> float:
        """For all calls, as of one in vain: what was long before is another time that the store was away."""
        is_another = tried - self.failed > 2 * LONGEST_PAUSE_S
        self.since = since = (None if is_another else self.since) or begun
        self.failed = time.monotonic()
        return since

    @contextmanager
    def _one_that_waits(self) -> Iterator[None]:
        """Inside, a call waits; where none does any more, the next one may say so again."""
        with self.lock:
            self.waiting += 1
        try:
            yield
        finally:
            with self.lock:
                self.waiting -= 1
                self.is_told = self.is_told and self.waiting > 0

    def _wait(self, why: str, until: float, since: float) -> None:
        """Until then; the first thread that has waited for longer says so."""
        with self.lock:
            is_first = not self.is_told and until - since > MOMENT_S
            self.is_told = self.is_told or is_first
        if is_first:
            print(f"waiting for the tracking store, for {LONGEST_S:g} s at most: {why}", file=sys.stderr)
        with meanwhile("waiting for the store"):
            while time.monotonic() < until and not is_asked_to_stop():
                time.sleep(0.05)


def patience_with(uri: str) -> Patience:
    """That with the store at an address: one in a process."""
    return _with.setdefault(uri, Patience())


_with: dict[str, Patience] = {}


class _PatientClient:
    """Each call of MLflow's client, made again while the store is away, or the registry that it is about."""

    def __init__(self, client: MlflowClient, ask_store: Ask, ask_registry: Ask) -> None:
        self._client, self._ask_store, self._ask_registry = client, ask_store, ask_registry

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name.startswith("_") or name in MADE_ANEW or not callable(found):
            return found
        ask = self._ask_registry if re.search("registered_model|model_version", name) else self._ask_store
        return lambda *args, **options: ask(partial(found, *args, **options))


def patient(client: MlflowClient, ask_store: Ask, ask_registry: Ask) -> MlflowClient:
    """The client, with patience, and a connection for each of those calls; for this process.

    Its own silent patience is switched off, and it waits for an answer as the user's variable says, if any.
    """
    os.environ.setdefault(MLFLOW_HTTP_REQUEST_TIMEOUT.name, str(LONGEST_ANSWER_S))
    os.environ[MLFLOW_HTTP_REQUEST_MAX_RETRIES.name] = "0"
    os.environ[MLFLOW_HTTP_POOL_MAXSIZE.name] = str(2 * AT_ONCE)
    return cast(MlflowClient, _PatientClient(client, ask_store, ask_registry))
