"""Where a sweep works: a folder that its jobs share, and the process whose it is, which may be gone early."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psutil

from .config import ConfigError
from .package import command
from .settings import Origin

HEAD = """# Repeats {sweep}. Save it as FOLDER/NAME.yaml, then:
#   {call}
"""

SAME_START_S = 2.0  # a process's start is known no better; a later one of the same number began later
A_WHILE_S = 60.0  # after which a folder that says nothing is no sweep's that is about to begin


@dataclass(frozen=True)
class Process:
    """A process of this or another machine; `started`, in Unix seconds, tells it from a later one."""

    host: str
    pid: int
    started: float

    @classmethod
    def this(cls) -> Self:
        """The one that asks."""
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time())

    @property
    def is_gone(self) -> bool:
        """Whether it has ended for certain: of another machine's nobody can say."""
        if self.host != socket.gethostname():
            return False
        try:
            found = psutil.Process(self.pid)
            is_it = abs(found.create_time() - self.started) < SAME_START_S
            return not is_it or found.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return False


@dataclass(frozen=True)
class Sweep:
    """What is known of a sweep as it begins, for whichever job records first.

    `config` repeats it, empty where none can; `jobs` is how many it has, None where it cannot go on once it
    ended early.
    """

    name: str
    config: str
    jobs: int | None
    process: Process

    @property
    def file(self) -> str:
        """The config, headed by whose it is and how to call it."""
        call = f"{command('train')} --config-dir FOLDER --config-name NAME"
        return HEAD.format(sweep=self.name, call=call) + self.config

    @classmethod
    def of(cls, origin: Origin) -> Self:
        """The sweep whose jobs share this folder; raises OSError or ValueError for another's."""
        found = json.loads(origin.begun.read_text("utf-8"))
        return cls(**found | {"process": Process(**found["process"])})


def without_head(file: str) -> str:
    """The config in a sweep's file."""
    return file.removeprefix("".join(file.splitlines(keepends=True)[: HEAD.count("\n")]))


def digest(text: str) -> str:
    """16 hex digits that only the same text has, as sweeps with the same config have them in common."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def sweep_begun(config: str, jobs: int | None, name: str = "") -> Iterator[Origin]:
    """A folder for the jobs of a sweep, gone when it has ended; it names one that is not a `name` of old.

    All that is put aside meanwhile lies in it: of a sweep that is killed nothing else is left.
    """
    remove_abandoned()
    prefix = f"{name}-" if name else time.strftime("sweep-%Y-%m-%d-%H%M%S-")
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        origin = Origin(sweep=name or Path(folder).name, folder=folder)
        begun = Sweep(origin.sweep or "", config, jobs, Process.this())
        origin.begun.write_text(json.dumps(asdict(begun)), "utf-8")
        before, tempfile.tempdir = tempfile.tempdir, folder
        try:
            yield origin
        finally:
            tempfile.tempdir = before


def unsaid(origin: Origin, lines: Sequence[str]) -> list[str]:
    """The lines that no job of the sweep has printed yet; they are taken as printed then."""
    return [line for line in lines if not origin.folder or _is_first(Path(origin.folder), line)]


def _is_first(folder: Path, line: str) -> bool:
    try:
        (folder / f"said-{digest(line)}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def require_temporary_folder() -> None:
    """Raises ConfigError where there is none: pages and models are written there before they are logged."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise ConfigError(f"{error.strerror}: name one that can be written in TMPDIR") from error


def remove_abandoned() -> None:
    """Remove what this user's sweeps left whose processes are gone."""
    try:
        place = Path(tempfile.gettempdir())
    except FileNotFoundError:  # there is none, and nothing in it
        return
    for folder in place.glob("sweep-*"):
        try:
            is_mine = folder.is_dir() and folder.lstat().st_uid == getattr(os, "getuid", int)()
            if is_mine and not folder.is_symlink() and _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # another process was first
            continue


def _is_abandoned(folder: Path) -> bool:
    """By the process that it names; one that names none was left before it could."""
    try:
        return Sweep.of(Origin(folder=str(folder))).process.is_gone
    except (OSError, ValueError, KeyError, TypeError):
        return time.time() - folder.lstat().st_mtime > A_WHILE_S
