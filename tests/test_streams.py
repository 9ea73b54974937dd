"""Standard output that cannot take what is printed, each on a real file or terminal."""

import io
import os
import pty
import sys
from pathlib import Path

import pytest

from src.terminal.command import run_command


def test_a_terminal_that_is_closed_has_no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who ignores SIGHUP goes on, and does not fail."""
    screen, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        os.close(screen)
        assert run_command(lambda: print("for nobody")) == 0


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    with Path("/dev/full").open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert run_command(lambda: print("too much")) == 1
    assert capfd.readouterr().err == "error: the output cannot be written: No space left on device\n"


def test_an_encoding_without_the_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a locale that knows ASCII alone."""
    with (tmp_path / "out.txt").open("w", encoding="ascii") as stream:
        assert isinstance(stream, io.TextIOWrapper)
        monkeypatch.setattr(sys, "stdout", stream)
        assert run_command(lambda: print("READING …")) == 0
    assert (tmp_path / "out.txt").read_text("ascii") == "READING \\u2026\n"
