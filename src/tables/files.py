"""The bytes of a file, unpacked: what it is, its first bytes say, and not its name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from pathlib import Path

from ..config import ConfigError, one_line
from ..package import SHIPPED

PARQUET, OLD_WORKBOOK = b"PAR1", b"\xd0\xcf\x11\xe0"
PACKERS = {b"\x1f\x8b": gzip.decompress, b"\xfd7zXZ\x00": lzma.decompress, b"BZh": bz2.decompress}
ZIP, ZSTD = b"PK\x03\x04", b"\x28\xb5\x2f\xfd"
# What their unpackers raise; RuntimeError: a zip that asks for a password
DAMAGED = OSError, EOFError, ValueError, RuntimeError, lzma.LZMAError, zlib.error, zipfile.BadZipFile


def read(path: str, setting: str) -> bytes:
    """A file's content; raises ConfigError, which calls the path by its setting, where it cannot be read.

    The data that come with the package are found from any folder.
    """
    try:
        is_shipped = not Path(path).exists() and (SHIPPED / path).is_relative_to(SHIPPED / "data")
        return (SHIPPED / path if is_shipped else Path(path)).read_bytes()
    except FileNotFoundError:
        where = "" if Path(path).is_absolute() else f" under {Path.cwd()}"
        raise ConfigError(f"{setting}{path}: no such file{where}; give the path of a CSV") from None
    except IsADirectoryError:
        raise ConfigError(f"{setting}{path} is a folder: give the path of a file in it") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{setting}{path} cannot be read: {one_line(error)}") from error


def is_workbook(content: bytes) -> bool:
    """Whether it is an Excel workbook, which is a zip of a kind."""
    return content.startswith(ZIP) and any(name.startswith("xl/") for name in _names(content))


def unpacked(content: bytes, name: str) -> bytes:
    """What was packed by gzip, xz, bzip2 or zip; raises ConfigError where it is damaged, or several files."""
    try:
        for magic, unpack in PACKERS.items():
            if content.startswith(magic):
                return unpack(content)
        if content.startswith(ZIP) and not is_workbook(content):
            return _only_file(content, name)
    except DAMAGED as error:
        raise ConfigError(f"{name} cannot be unpacked: {one_line(error)}") from error
    if content.startswith(ZSTD):
        raise ConfigError(f"{name} is packed by zstd: unpack it first")
    return content


def _only_file(content: bytes, name: str) -> bytes:
    names = [each for each in _names(content) if not each.endswith("/") and not each.startswith("__MACOSX/")]
    if len(names) != 1:
        raise ConfigError(
            f"{name} holds {len(names)} files, {', '.join(names[:5])}: unpack the one that is meant"
        )
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(names[0])


def _names(content: bytes) -> list[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.namelist()
    except zipfile.BadZipFile:
        return []
