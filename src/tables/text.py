"""Bytes -> text, and its comments."""

from __future__ import annotations

import codecs
import io
import re

from ..config import ConfigError, one_line
from .source import Source

MARKS = {  # a longer one comes before one that it begins with
    codecs.BOM_UTF8: ("utf-8-sig", ""),
    codecs.BOM_UTF32_LE: ("utf-32", "UTF-32"),
    codecs.BOM_UTF32_BE: ("utf-32", "UTF-32"),
    codecs.BOM_UTF16_LE: ("utf-16", "UTF-16"),
    codecs.BOM_UTF16_BE: ("utf-16", "UTF-16"),
}
# ° ± µ · are these bytes in Latin-1 and all of Windows' encodings; alone they are no part of another script
UNSURE = re.compile(rb"[^\x00-\x7f\xb0\xb1\xb5\xb7]|[\x80-\xff]{2}")
COMMENT = "#"


def decode(content: bytes, source: Source) -> tuple[str, list[str]]:
    """The text, and what was recognised; raises ConfigError for none, or for one that could be several."""
    given = source.layout.encoding
    marked = next((known for mark, known in MARKS.items() if content.startswith(mark)), None)
    encoding, said = (given, "") if given else marked or ("utf-8", "")
    try:
        return content.decode(encoding).removeprefix("\ufeff"), [said] if said else []
    except UnicodeDecodeError as error:
        if given or marked:
            raise ConfigError(
                f"{source.name} is not {encoding}: {one_line(error)}; {source.spelled('encoding', 'NAME')} "
                "gives another"
            ) from error
        return _of_windows(content, error.start, source), ["cp1252 text"]


def _of_windows(content: bytes, at: int, source: Source) -> str:
    if b"\0" in content:
        raise ConfigError(f"{source.name} is not UTF-8 text but binary data: export it as CSV text")
    text = content.decode("cp1252", errors="replace")
    if not UNSURE.search(content):
        return text
    line = content.count(b"\n", 0, at) + 1
    word = re.split(r"[\s,;|\"]", text[_start_of_word(text, at) :], maxsplit=1)[0][:40]
    raise ConfigError(
        f"{source.name} is not UTF-8: line {line} has {word!r}, if it is Windows' Western encoding: "
        f"then give {source.spelled('encoding', 'cp1252')}, or save it as UTF-8"
    )


def _start_of_word(text: str, at: int) -> int:
    return max(text.rfind(sign, 0, at) for sign in '\n\r\t ,;|"') + 1


def without_comments(text: str, source: Source) -> tuple[str, dict[int, str]]:
    """The text with empty lines for its comments, and these by their lines."""
    sign = source.layout.comment or COMMENT
    if sign == "none" or sign not in text:
        return text, {}
    lines = list(io.StringIO(text, newline=""))
    comments = {
        number: line.strip().removeprefix(sign)
        for number, line in enumerate(lines, start=1)
        if line.lstrip().startswith(sign)
    }
    if not comments:
        return text, {}
    blanked = (_end(line) if number in comments else line for number, line in enumerate(lines, start=1))
    return "".join(blanked), comments


def _end(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]
