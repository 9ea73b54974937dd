"""What is printed where nobody reads it any more: the work goes on, and is no failure."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TextIO, cast

from hydra_plugins.batch_launcher import above_bar

from ..config import printable


class Forgiving:
    """A stream that falls silent once it cannot be written; `error` says why, unless its reader went away."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write, or not."""
        try:
            with above_bar(text) if self.stream.isatty() else nullcontext():
                return self.stream.write(text)
        except OSError as error:
            self._fall_silent(error)
            return len(text)

    def flush(self) -> None:
        """Flush, or not."""
        try:
            self.stream.flush()
        except OSError as error:
            self._fall_silent(error)

    def _fall_silent(self, error: OSError) -> None:
        if not self._is_unread(error):
            self.error = error
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())  # what is buffered goes there, too

    def _is_unread(self, error: OSError) -> bool:
        """Whether nobody would see what is written: `| head` has seen enough, or the terminal is closed."""
        is_device = stat.S_ISCHR(os.fstat(self.stream.fileno()).st_mode)
        return isinstance(error, BrokenPipeError) or (error.errno == errno.EIO and is_device)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def forgiving() -> Iterator[None]:
    """Inside, printing never fails: into a pipe without a reader, on a full disk, where nothing is open."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _forgiving(sys.stdout, 1), _forgiving(sys.stderr, 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout, sys.stderr = before


def lost() -> str:
    """Why what was printed has not all been written; empty where it was."""
    sys.stdout.flush()
    error = getattr(sys.stdout, "error", None)
    return "" if error is None else f"the output cannot be written: {error.strerror}"


def print_data(text: str) -> None:
    """What a program may read is printed as it stands; on a terminal it commands nothing."""
    print(printable(text) if sys.stdout.isatty() else text, end="")


def _forgiving(stream: TextIO | None, number: int) -> TextIO:
    if isinstance(stream, Forgiving):
        return cast(TextIO, stream)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")  # as of a name that its encoding has no letters for
    return cast(TextIO, Forgiving(stream or _nowhere(number)))


def _nowhere(number: int) -> TextIO:
    """What stands for a stream that was closed by who started this; workers that it starts have it, too."""
    stream = Path(os.devnull).open("w")  # noqa: SIM115  (open as long as what is printed to)
    os.dup2(stream.fileno(), number)
    os.set_inheritable(number, True)
    return stream
