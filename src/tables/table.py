"""Bytes -> a table: rows of text cells under names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..config import ConfigError
from ..kinds import same_name
from ..layout import DECIMALS
from . import delimited, sheets
from .delimited import Rows
from .files import unpacked
from .head import Head, head
from .numbers import Numbers, numbers
from .source import Source
from .text import decode, without_comments

POSITION = "column:"
ALTERNATING = re.compile("(?:\0[^\0]){3}|(?:[^\0]\0){3}")


@dataclass(frozen=True)
class Table:
    """Rows of text cells, as many in each as there are names, and the line that each begins on.

    `units` by column, empty for none; `faults`: what is wrong with a row as such, by its number; `sign`
    stands between cells; `said`: what was recognised, in words; `doubts`: what the reader is to be asked.
    `is_bare`: a single column of numbers, whose name is nowhere.
    """

    source: Source
    names: list[str]
    units: list[str]
    rows: list[list[str]]
    lines: list[int]
    faults: dict[int, str]
    sign: str
    said: tuple[str, ...]
    doubts: tuple[str, ...]
    is_bare: bool

    def places(self, column: str) -> list[int]:
        """Where the columns are that are meant by a name, or by a place as `column:2`."""
        named = [place for place, name in enumerate(self.names) if same_name(name) == same_name(column)]
        if not named and column.startswith(POSITION) and column[len(POSITION) :].isdecimal():
            place = int(column[len(POSITION) :]) - 1
            return [place] if 0 <= place < len(self.names) else []
        return named

    def cells(self, place: int) -> list[str]:
        """A column's cells (N,)."""
        return [row[place] for row in self.rows]

    def numbers(self, places: Sequence[int]) -> tuple[list[Numbers], list[str]]:
        """The columns at these places as numbers, and what was recognised of how they are written."""
        return numbers([self.cells(place) for place in places], self.sign, self.source)

    def only(self, is_kept: Callable[[int], bool]) -> Table:
        """Some of its rows, by their numbers."""
        kept = [row for row in range(len(self.rows)) if is_kept(row)]
        faults = {new: self.faults[old] for new, old in enumerate(kept) if old in self.faults}
        return replace(
            self,
            rows=[self.rows[row] for row in kept],
            lines=[self.lines[row] for row in kept],
            faults=faults,
        )


def read(content: bytes, source: Source) -> Table:
    """Raises ConfigError where it is empty, no table, or one that could be read in several ways."""
    content = unpacked(content, source.name)
    if sheets.is_sheets(content):
        rows, said = sheets.read(content, source)
        return _table(rows, {}, "", source, said)
    text, said = decode(content, source)
    if source.layout.sheet:
        said.append(f"no workbook, {source.spelled('sheet', source.layout.sheet)} is not needed")
    if not source.layout.encoding and ALTERNATING.search(text, 0, 1000):
        raise ConfigError(
            f"{source.name} is UTF-16 without its mark, or binary data: give "
            f"{source.spelled('encoding', 'utf-16-le')}, or export it as CSV text"
        )
    text, comments = without_comments(text, source)
    if comments:
        said.append(f"{len(comments)} comment line{'s' * (len(comments) > 1)}")
    rows, sign, recognised = delimited.split(text, source)
    table = _table(rows, comments, sign, source, [*recognised, *said])
    if text and not text.endswith(("\n", "\r")):
        cut = f"the last line, {table.lines[-1] if table.lines else 1}, has no end: is it whole?"
        return replace(table, doubts=(cut,))
    return table


def _table(rows: Rows, comments: dict[int, str], sign: str, source: Source, said: list[str]) -> Table:
    top = head(rows, comments, sign, source)
    cells, lines = rows[0][top.end :], rows[1][top.end :]
    cells, joined = _joined(cells, lines, top, sign, source)
    width = _width(top, cells)
    names, units = (each[:width] + [""] * (width - len(each)) for each in (top.names, top.units))
    cells, faults = _as_wide(cells, width)
    is_trailing = bool(cells) and all(len(each) > width for each in rows[0][top.end :])
    trailing = ["a delimiter at the end of each line"] if is_trailing and not joined else []
    said = [*said, *top.said, *joined, *trailing]
    is_bare = top.end == 0 and len(names) == 1 and source.may_be_bare and names == [f"{POSITION}1"]
    return Table(source, names, units, cells, lines, faults, sign, tuple(said), (), is_bare)


def _width(top: Head, cells: list[list[str]]) -> int:
    """How many columns there are: a last one without a name or a cell is none."""
    width = len(top.names)
    while width > 1 and not top.names[width - 1] and not any(_has(row, width - 1) for row in cells):
        width -= 1
    return width


def _has(row: list[str], place: int) -> bool:
    return place < len(row) and bool(row[place].strip())


def _joined(
    cells: list[list[str]], lines: list[int], top: Head, sign: str, source: Source
) -> tuple[list[list[str]], list[str]]:
    """Cells that decimal commas have cut in two, as one again where these are said to be; else refused."""
    width = len(top.names)
    is_cut = (
        bool(cells)
        and sign == ","
        and all(len(row) == 2 * width and all(map(_is_part, row)) for row in cells)
    )
    if not is_cut:
        return cells, []
    if source.layout.decimal and DECIMALS[source.layout.decimal] == ",":
        return [_in_pairs(row) for row in cells], []
    apart, whole = " | ".join(cells[0]), " | ".join(_in_pairs(cells[0]))
    raise ConfigError(
        f"{source.name}: line {lines[0]} could be the {2 * width} cells {apart}, where the header names "
        f"{width}, or the {width} cells {whole}: give {source.spelled('decimal', 'comma')} for these, "
        "or name all columns"
    )


def _in_pairs(row: list[str]) -> list[str]:
    return [f"{a},{b}" for a, b in zip(row[::2], row[1::2], strict=True)]


def _is_part(cell: str) -> bool:
    return cell.strip().lstrip("+-").isdecimal()


def _as_wide(cells: list[list[str]], width: int) -> tuple[list[list[str]], dict[int, str]]:
    """Rows as wide as the header: what they lack is empty; what they have more is a fault, unless empty."""
    if set(map(len, cells)) <= {width} and not any("\0" in "".join(row) for row in cells):
        return cells, {}
    faults = {}
    for number, row in enumerate(cells):
        if any("\0" in cell for cell in row):
            faults[number] = "NUL bytes, as of a logger that lost power"
        elif any(map(str.strip, row[width:])):
            faults[number] = f"{len(row)} cells, where the header names {width}"
    return [row[:width] + [""] * (width - len(row)) for row in cells], faults
