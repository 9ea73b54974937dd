"""A real terminal to print to, of any width."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading
from collections.abc import Callable

import pytest

STYLE = re.compile(r"\x1b\[[\d;]*m")


def on_a_terminal(
    step: Callable[[], object], columns: int = 0, environment: dict[str, str] | None = None
) -> str:
    """What a step prints to a terminal of so many columns, 0 for one that does not know."""
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    shown = bytearray()

    def read() -> None:
        try:
            while data := os.read(screen, 4096):
                shown.extend(data)
        except OSError:  # the terminal is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(terminal, "w") as stream, pytest.MonkeyPatch.context() as patch:
        for name in ("COLUMNS", "NO_COLOR", "TERM"):
            patch.delenv(name, raising=False)
        for name, value in ({"TERM": "xterm"} | (environment or {})).items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdout", stream)
        step()
    reader.join()
    os.close(screen)
    return shown.decode().replace("\r\n", "\n")
