"""Ctrl-C and SIGTERM: work in hand is put on record before the process ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM arrived; `exit_code` is the shell's convention, 128 + the signal's number."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Called, it says whether the work is to stop."""

    def __init__(self) -> None:
        self.signum: int | None = None

    def __call__(self) -> bool:
        return self.signum is not None


@contextmanager
def raising() -> Iterator[None]:
    """Inside, both signals raise Interrupted wherever the program stands."""

    def handle(signum: int, frame: FrameType | None) -> None:
        del frame
        raise Interrupted(signum)

    with _handling(handle):
        yield


@contextmanager
def deferred() -> Iterator[Stop]:
    """Inside, both signals only set the flag that is yielded; at the end Interrupted is raised.

    So nothing that is written inside can be left half-written.
    """
    stop = Stop()

    def handle(signum: int, frame: FrameType | None) -> None:
        del frame
        stop.signum = signum

    with _handling(handle):
        yield stop
    if stop.signum is not None:
        raise Interrupted(stop.signum)


@contextmanager
def _handling(handle: object) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
        return
    before = {signum: signal.signal(signum, handle) for signum in SIGNALS}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
