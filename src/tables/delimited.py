"""Text -> rows of cells: what stands between cells, and what quotes hold."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Literal

from ..config import ConfigError
from ..kinds import same_name
from ..layout import DELIMITERS
from .source import Source

if TYPE_CHECKING:
    import _csv

WORDS = {sign: word for word, sign in DELIMITERS.items()}
RECOGNISED = (",", ";", "\t", "|")
SEP = re.compile(r'"?sep=(.)"?[ \t]*\r?\n', re.IGNORECASE)  # the line by which Excel knows the sign
SAMPLE = 200  # lines by which a file is known
END = "\N{END OF TEXT}"  # a row of its own behind the last: a quote that is never closed takes it in

NUMERIC = re.compile(r"\s*[+\-−]?(\d[\d.,]*|[.,]\d+)([eEdD][+-]?\d+)?\s*")

Rows = tuple[list[list[str]], list[int]]  # and the line that each begins on


def is_numeric(cell: str) -> bool:
    """Whether it looks like a number in some notation."""
    return NUMERIC.fullmatch(cell) is not None


def split(text: str, source: Source) -> tuple[Rows, str, list[str]]:
    """The rows that are not empty lines, what stands between their cells, and what was recognised.

    Raises ConfigError where that could be several, or a quote takes in what looks like rows.
    """
    sep = SEP.match(text)
    body = text if sep is None else text[sep.end(1) :].lstrip('" \t')
    asked = source.layout.delimiter
    sign = DELIMITERS[asked] if asked else sep[1] if sep else _recognised(body, source)
    said = [] if asked or sign == "," else [f"{_plural(sign)} between cells"]
    return _rows(body, sign, source), sign, said


def _plural(sign: str) -> str:
    return f"{WORDS[sign]}s" if sign in WORDS else f"{sign!r}"


def _reader(lines: io.StringIO, sign: str, source: Source) -> _csv.Reader:
    quoting: Literal[0, 3] = csv.QUOTE_NONE if source.layout.quote else csv.QUOTE_MINIMAL
    return csv.reader(lines, delimiter=sign, skipinitialspace=True, quoting=quoting)


def _rows(text: str, sign: str, source: Source) -> Rows:
    whole = text if text.endswith(("\n", "\r")) or not text else text + "\n"
    reader = _reader(io.StringIO(whole + END, newline=""), sign, source)
    rows, lines, line = [], [], 1
    try:
        for cells in reader:
            rows.append(cells)
            lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise ConfigError(f"{source.name}: {_unclosed(line, source)}") from error
    if rows.pop() != [END]:
        raise ConfigError(f"{source.name}: {_unclosed(lines[-1], source)}")
    lines.pop()
    if reader.line_num > len(rows) + 1:
        _require_meant(rows, lines, sign, source)
    kept = [place for place, cells in enumerate(rows) if cells and (len(cells) > 1 or cells[0].strip())]
    if len(kept) == len(rows):
        return rows, lines
    return [rows[place] for place in kept], [lines[place] for place in kept]


def _unclosed(line: int, source: Source) -> str:
    return (
        f'line {line}: a quote (") is opened and never closed: close it, or give '
        f"{source.spelled('quote', 'none')} where it is a sign like any other"
    )


def _require_meant(rows: list[list[str]], lines: list[int], sign: str, source: Source) -> None:
    """Raises ConfigError where a quoted cell with line breaks holds what looks like rows."""
    problems = []
    for cells, line in zip(rows, lines, strict=True):
        breaks = [re.split(r"\r\n|\r|\n", cell) for cell in cells]
        inner = [each for parts in breaks for each in parts[1:]]
        if any(_looks_like_a_row(each, sign, len(cells)) for each in inner):
            problems.append(
                f"lines {line} to {line + len(inner)}: a quoted cell holds what looks like rows: "
                f'close the quote (") in line {line}, or give {source.spelled("quote", "none")} '
                "where it is a sign like any other"
            )
    if problems:
        raise ConfigError(f"{source.name}: {'; '.join(problems[:3])}")


def _looks_like_a_row(text: str, sign: str, width: int) -> bool:
    parts = text.split(sign)
    return (len(parts) > 1 or width == 1) and any(map(is_numeric, parts))


def _recognised(text: str, source: Source) -> str:
    """What stands between cells: where the columns are found, or most rows are as wide and of numbers."""
    sample = "".join(islice(io.StringIO(text, newline=""), SAMPLE))
    there = [sign for sign in RECOGNISED if sign in sample]
    scores = {sign: _score(sample, sign, source) for sign in there}
    best = max(scores.values(), default=(0, 0.0))
    first, *others = [sign for sign, score in scores.items() if score == best] or [","]
    if others and best > (0, 0.0):
        words = [WORDS[sign] for sign in (first, *others)]
        raise ConfigError(
            f"{source.name}: {' or '.join(words)} could stand between cells: "
            f"give {' or '.join(source.spelled('delimiter', word) for word in words)}"
        )
    return first if best > (0, 0.0) else ","


def _score(sample: str, sign: str, source: Source) -> tuple[int, float]:
    """How many of the columns are found in one row, and how much looks like a table of numbers, 0 to 1."""
    try:
        rows = [cells for cells in _reader(io.StringIO(sample, newline=""), sign, source) if any(cells)]
    except csv.Error:
        return 0, 0.0
    found = max((count_found(cells, source.columns) for cells in rows), default=0)
    width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
    if width < 2:
        return (found, 0.0) if found > 1 else (0, 0.0)
    cells = [cell for row in rows if len(row) == width and any(map(is_numeric, row)) for cell in row if cell]
    return found, round(count / len(rows) * sum(map(is_numeric, cells)) / max(len(cells), 1), 9)


def count_found(cells: Sequence[str], columns: Sequence[str]) -> int:
    """How many of the columns' names are among these cells."""
    names = set(map(same_name, cells))
    return sum(same_name(column) in names for column in columns)
