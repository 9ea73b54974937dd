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
    with os.fdopen(terminal, "w", buffering=1) as stream, pytest.MonkeyPatch.context() as patch:
        for name in ("COLUMNS", "NO_COLOR", "TERM"):
            patch.delenv(name, raising=False)
        for name, value in ({"TERM": "xterm"} | (environment or {})).items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        step()
    reader.join()
    os.close(screen)
    return shown.decode().replace("\r\n", "\n")


def left_on_screen(shown: str) -> list[str]:
    """The lines that stand there at the end, by the few codes that a bar moves and erases by."""
    lines, at = [""], 0
    for code, text in re.findall(r"(\x1b\[[\d;?]*[a-zA-Z]|\r|\n)|([^\x1b\r\n]+)", shown):
        match code:
            case "\n":
                at += 1
                lines += [""] * (at == len(lines))
            case "\x1b[1A":
                at -= 1
            case "\x1b[2K":
                lines[at] = ""
            case "":
                lines[at] += text
    return [line for line in lines if line]
