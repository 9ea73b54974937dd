"""Whether the work is to stop: Ctrl-C, SIGTERM and a terminal that closes are noted for whoever waits."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# SIGHUP is a terminal that closes; Windows has none
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

_heeded: list[Callable[[], bool]] = []  # the innermost last


class Stop:
    """Called, it says whether the work is to stop."""

    def __init__(self) -> None:
        self.signum: int | None = None

    def __call__(self) -> bool:
        return self.signum is not None

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Take the signal."""
        del frame
        self.signum = signum


def is_asked_to_stop() -> bool:
    """Whether one of those says so that are heeded now, the outer ones, too; for any thread."""
    return any(stop() for stop in tuple(_heeded))


@contextmanager
def heeding(stop: Callable[[], bool]) -> Iterator[None]:
    """Inside, `is_asked_to_stop` asks it, too."""
    _heeded.append(stop)
    try:
        yield
    finally:
        _heeded.remove(stop)


@contextmanager
def handling(stop: Stop) -> Iterator[None]:
    """Inside, it takes the signals, and is heeded; those around it learn of them at the end.

    Signals that are ignored stay so: a shell's background job gets no SIGINT, one of nohup no SIGHUP.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
        return
    handle = stop.handle
    heard = [each for each in SIGNALS if signal.getsignal(each) not in (signal.SIG_IGN, None)]
    before = {signum: signal.signal(signum, handle) for signum in heard}
    try:
        with heeding(stop):
            yield
    finally:
        for signum, handler in before.items():
            if signal.getsignal(signum) == handle:  # else they are ignored by now, and stay so
                signal.signal(signum, handler)
        for outer in _heeded:
            if isinstance(outer, Stop) and stop.signum is not None:
                outer.signum = stop.signum
