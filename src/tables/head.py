"""Rows -> the columns' names and units, and where the rows of readings begin."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from ..config import ConfigError
from ..kinds import on_one_line, same_name
from .delimited import SAMPLE, Rows, count_found, is_numeric
from .numbers import BEGINS_AS_NUMBER, is_missing
from .source import Source

MOST_UNITS_ROWS = 3  # below the names: a logger writes units and what was averaged
LONGEST_UNIT = 20


@dataclass(frozen=True)
class Head:
    """The names of C columns and their units, empty for none; the first row of readings is number `end`."""

    names: list[str]
    units: list[str]
    end: int
    said: list[str]


def head(rows: Rows, comments: dict[int, str], sign: str, source: Source) -> Head:
    """What stands above the readings; raises ConfigError for nothing, or for numbers that could be names."""
    cells, lines = rows
    if not cells:
        raise ConfigError(f"{source.name} is empty: a header line and rows of numbers are needed")
    if _is_bare(cells, source):
        return _without_names(cells[:1])
    if source.layout.header == "none":
        return _without_names(cells)
    if source.layout.header is None and (named := _in_comments(cells, comments, sign, source)):
        line, names = named
        return _with_units(names, 0, rows, source, [f"names from the comment in line {line}"])
    place = _place(cells, lines, source)
    said = [] if place == 0 or source.layout.header else [f"names from line {lines[place]}"]
    return _with_units(cells[place], place + 1, rows, source, said)


def _is_bare(cells: list[list[str]], source: Source) -> bool:
    """Whether it is a single column of numbers without a name; one that could be the name is refused."""
    if not source.may_be_bare or source.layout.header or len(cells[0]) > 1 or not is_numeric(cells[0][0]):
        return False
    if count_found(cells[0], source.columns):
        raise ConfigError(
            f"{source.name}: {cells[0][0].strip()} is the name of a column, and a number: give "
            f"{source.spelled('header', '1')} or {source.spelled('header', 'none')}"
        )
    return True


def _without_names(cells: list[list[str]]) -> Head:
    width = max(map(len, cells))
    return Head([f"column:{place}" for place in range(1, width + 1)], [""] * width, 0, [])


def _in_comments(
    cells: list[list[str]], comments: dict[int, str], sign: str, source: Source
) -> tuple[int, list[str]] | None:
    """The line and the names of a header that is a comment, as numpy writes it."""
    found = max((count_found(row, source.columns) for row in cells[:SAMPLE]), default=0)
    for line, text in islice(comments.items(), SAMPLE):
        [names] = csv.reader([text], delimiter=sign, skipinitialspace=True)
        if count_found(names, source.columns) > found:
            return line, names
    return None


def _place(cells: list[list[str]], lines: list[int], source: Source) -> int:
    """Which row has the names: the one that is said, that has the most of them, or the first of the table."""
    if source.layout.header:
        if source.layout.header not in lines:
            given = source.spelled("header", str(source.layout.header))
            raise ConfigError(f"{source.name}: {given}: no row begins on that line")
        return lines.index(source.layout.header)
    sample = cells[:SAMPLE]
    counts = [count_found(row, source.columns) for row in sample]
    if not max(counts):
        width = Counter(map(len, sample)).most_common(1)[0][0]
        place = next(place for place, row in enumerate(sample) if len(row) == width)
        place = 0 if is_header(sample[0]) and len(sample[0]) >= width else place
    else:
        place = counts.index(max(counts))
    if not is_header(cells[place]):
        raise ConfigError(
            f"{source.name}: line {lines[place]} is numbers ({', '.join(cells[place][:4])}), where names are "
            f"needed: give {source.spelled('header', 'none')} where there are none, and columns as column:1; "
            f"or {source.spelled('header', str(lines[place]))} where these are names"
        )
    return place


def is_header(cells: Sequence[str]) -> bool:
    """Whether these can be names: not where all are numbers."""
    return not all(is_numeric(cell) for cell in cells if cell.strip()) or not any(map(str.strip, cells))


def _with_units(names: list[str], end: int, rows: Rows, source: Source, said: list[str]) -> Head:
    cells, lines = rows
    names = [on_one_line(name) for name in names]
    units = [""] * len(names)
    columns = {same_name(each) for each in source.columns}
    places = [place for place, name in enumerate(names) if same_name(name) in columns]
    places += [place for place in range(len(names)) if f"column:{place + 1}" in columns]
    below = end
    while below < min(len(cells), end + MOST_UNITS_ROWS) and _are_units(cells[below], names, places):
        below += 1
    if below == end or below == len(cells) or not any(map(is_numeric, _at(cells[below], places))):
        return Head(names, units, end, said)
    for place, cell in enumerate(cells[end][: len(names)]):
        units[place] = "" if is_missing(cell) else on_one_line(cell).strip("[]() ")
    told = ", ".join(dict.fromkeys(units[place] or "none" for place in places))
    said = [*said, f"units ({told}) from line {lines[end]}"]
    said += [f"line {lines[each]} left out" for each in range(end + 1, below)]
    return Head(names, units, below, said)


def _are_units(row: list[str], names: list[str], places: list[int]) -> bool:
    """Whether the cells of the columns that are meant are short texts, at least one, and none a number."""
    cells = _at(row, places)
    is_repeated = [same_name(cell) for cell in row] == [same_name(name) for name in names]
    texts = [cell for cell in cells if not is_missing(cell)]
    is_short = all(len(cell) <= LONGEST_UNIT and not BEGINS_AS_NUMBER.match(cell.strip()) for cell in texts)
    return bool(texts) and is_short and not any(map(is_numeric, texts)) and not is_repeated


def _at(row: list[str], places: list[int]) -> list[str]:
    return [row[place] if place < len(row) else "" for place in places]
