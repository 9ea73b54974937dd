"""A Ctrl-C while a command is still being imported ends it quietly: each command imports this first."""

from __future__ import annotations

import signal
import sys


def quiet() -> None:
    """Let SIGINT end the process without a traceback, as in a program that is not Python's.

    Not where it is ignored, as in a shell's background job.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


# only in a process that is the command: who imports one into a notebook keeps its own signals
if getattr(sys.modules["__main__"], "__package__", None) == __package__:
    quiet()
