"""Ctrl-C, SIGTERM and a terminal that closes: work in hand is put on record before the process ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hydra_plugins import batch_launcher
from hydra_plugins.batch_launcher import SIGNALS, Stop, handling

_is_ending = threading.Event()  # for a signal that has arrived; no other is heard then


class Interrupted(KeyboardInterrupt):
    """One of these signals arrived; `exit_code` is the shell's convention, 128 + the signal's number."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


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
        with handling(arrived):
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
        with handling(stop):
            yield stop
    finally:
        if stop.signum is not None:
            raise Interrupted(stop.signum)


def raise_lost() -> None:
    """Raise Interrupted where it was raised and lost; nothing where it was not, or has arrived."""
    if outer := _outer():
        outer.raise_again()


def is_asked_to_stop() -> bool:
    """Whether a signal has come, or whoever gave the work has said so; for any thread."""
    return _is_ending.is_set() or batch_launcher.is_asked_to_stop()


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
