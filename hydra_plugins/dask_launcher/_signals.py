"""Ctrl-C and its like while a cluster is at work: noted, and told on once the work there has ended."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Held:
    """Called, it says whether one of them arrived."""

    def __init__(self) -> None:
        self.signum: int | None = None

    def __call__(self) -> bool:
        return self.signum is not None

    def take(self, signum: int, frame: FrameType | None) -> None:
        """Note the signal."""
        del frame
        self.signum = signum


@contextmanager
def held() -> Iterator[Held]:
    """Inside, signals only set the flag that is yielded; at the end the last goes to its old handler.

    So none can strike between a batch's return and its record.
    """
    flag = Held()
    if threading.current_thread() is not threading.main_thread():
        yield flag  # only the main thread gets signals
        return
    heard = [each for each in SIGNALS if signal.getsignal(each) not in (signal.SIG_IGN, None)]
    before = {each: signal.signal(each, flag.take) for each in heard}
    try:
        yield flag
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        if flag.signum is not None:
            signal.raise_signal(flag.signum)
