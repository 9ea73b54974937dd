"""Ctrl-C, SIGTERM and a terminal that closes: work in hand is put on record before the process ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# SIGHUP is a terminal that closes; Windows has none
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

_is_ending = threading.Event()  # for a signal that has arrived; no other is heard then


class Interrupted(KeyboardInterrupt):
    """One of these signals arrived; `exit_code` is the shell's convention, 128 + the signal's number."""

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
    """Raises Interrupted, too, and again until that has arrived where it is told.

    What is raised may be lost on its way, as in a callback of a C library's or in the garbage collector.
    """

    has_arrived = False

    @property
    def exit_code(self) -> int:
        """0 where no signal came."""
        return 0 if self.signum is None else 128 + self.signum

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Take the signal, and raise."""
        super().handle(signum, frame)
        self.raise_again()

    def raise_again(self) -> None:
        """Raise what was lost, if anything was."""
        if self.signum is not None and not self.has_arrived:
            raise Interrupted(self.signum)


@contextmanager
def raising() -> Iterator[Raising]:
    """Inside, the first of these signals raises Interrupted wherever the program stands."""
    arrived = Raising()
    try:
        with _handling(arrived.handle):
            yield arrived
    finally:
        _is_ending.clear()


@contextmanager
def deferred() -> Iterator[Stop]:
    """Inside, the signals only set the flag that is yielded; at the end Interrupted is raised.

    So nothing that is written inside can be left half-written.
    """
    raise_lost()
    stop = Stop()
    try:
        with _handling(stop.handle):
            yield stop
    finally:
        if stop.signum is not None:
            if outer := _outer():
                outer.signum = stop.signum
            raise Interrupted(stop.signum)


def raise_lost() -> None:
    """Raise Interrupted where it was raised and lost; nothing where it was not, or has arrived."""
    if outer := _outer():
        outer.raise_again()


def is_asked_to_stop() -> bool:
    """Whether a signal has come that is taken by a flag alone, or one that has arrived; for any thread."""
    handlers = (getattr(signal.getsignal(each), "__self__", None) for each in SIGNALS)
    return _is_ending.is_set() or any(isinstance(each, Stop) and each() for each in handlers)


def arrive() -> None:
    """Further signals are ignored from here to the end of the process.

    It is ending already, and an impatient second Ctrl-C must not leave the record half-finished.
    """
    if outer := _outer():
        outer.has_arrived = True
        _is_ending.set()
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)


def _outer() -> Raising | None:
    """What takes the signals that this thread gets, where that is one that raises."""
    if threading.current_thread() is not threading.main_thread():
        return None
    handlers = (getattr(signal.getsignal(each), "__self__", None) for each in SIGNALS)
    return next((each for each in handlers if isinstance(each, Raising)), None)


@contextmanager
def _handling(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Signals that are ignored stay so: a shell's background job gets no SIGINT, one of nohup no SIGHUP."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
        return
    heard = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    before = {signum: signal.signal(signum, handle) for signum in heard}
    try:
        yield
    finally:
        for signum, handler in before.items():
            if signal.getsignal(signum) == handle:  # else they are ignored by now, and stay so
                signal.signal(signum, handler)
