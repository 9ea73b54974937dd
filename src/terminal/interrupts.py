"""Ctrl-C and SIGTERM: work in hand is put on record before the process ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM arrived; `exit_code` is the shell's convention, 128 + the signal's number."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


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


class Raising(Stop):
    """Raises Interrupted, too. What it raises may be lost on its way, as in a callback of a C library's."""

    @property
    def exit_code(self) -> int:
        """0 where no signal arrived."""
        return 0 if self.signum is None else 128 + self.signum

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Take the signal, and raise."""
        super().handle(signum, frame)
        _interrupt(signum)


@contextmanager
def raising() -> Iterator[Raising]:
    """Inside, the first of these signals raises Interrupted wherever the program stands.

    Further ones are ignored, there and to the end of the process: it is ending already, and an impatient
    second Ctrl-C must not leave the record half-finished.
    """
    arrived = Raising()
    with _handling(arrived.handle):
        yield arrived


@contextmanager
def deferred() -> Iterator[Stop]:
    """Inside, the signals only set the flag that is yielded; at the end Interrupted is raised.

    So nothing that is written inside can be left half-written.
    """
    stop = Stop()
    try:
        with _handling(stop.handle):
            yield stop
    finally:
        if stop.signum is not None:
            _interrupt(stop.signum)


def _interrupt(signum: int) -> NoReturn:
    for each in SIGNALS:
        if isinstance(getattr(signal.getsignal(each), "__self__", None), Raising):
            signal.signal(each, signal.SIG_IGN)
    raise Interrupted(signum)


@contextmanager
def _handling(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
        return
    before = {signum: signal.signal(signum, handle) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            if signal.getsignal(signum) == handle:  # else they are ignored by now, and stay so
                signal.signal(signum, handler)
