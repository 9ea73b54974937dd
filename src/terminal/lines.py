"""Lines for a person: at a terminal they wrap at words; in a pipe or a file each stays one line."""

from __future__ import annotations

import os
import sys
import textwrap
from typing import TextIO

from ..config import printable

NARROWEST = 20


def width(stream: TextIO | None = None) -> int | None:
    """The columns of the terminal behind a stream: `COLUMNS`, or as it says itself; None where there is none.

    Not rich's, which takes every dumb terminal and every pipe for one of 80 columns.
    """
    stream = stream or sys.stdout
    if not stream.isatty():
        return None
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given):
        return max(int(given), NARROWEST)
    try:
        found = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        found = 0
    return max(found or 80, NARROWEST)


def say(line: str, indent: int = 4, whole: str = "", file: TextIO | None = None) -> None:
    """Print a line; at a terminal wrapped at words, what is below the first line indented.

    `whole`: what stands in it to be copied, and is not broken.
    """
    line, columns = printable(line), width(file)
    if columns is not None and len(line) > columns:
        kept = textwrap.fill(
            line.replace(whole, whole.replace(" ", "\0")) if whole else line,
            columns,
            subsequent_indent=" " * min(indent, columns // 2),
            break_long_words=False,
            break_on_hyphens=False,
        )
        line = kept.replace("\0", " ")
    print(line, file=file)


def say_to_copy(label: str, *parts: str, file: TextIO | None = None) -> None:
    """Print an address and what is to be said of it, as one line where that fits, else each below the other.

    No part is ever broken by more than the terminal itself, so that each can be copied as a whole.
    """
    lines = [f"{label:<13}{parts[0]}", *(f"{'':13}{part}" for part in parts[1:])]
    together = "   ".join([lines[0], *parts[1:]])
    columns = width(file)
    fits = columns is None or len(together) <= columns
    print(printable(together if fits else "\n".join(lines)), file=file)
