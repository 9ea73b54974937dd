"""Rows below the readings that sum them up, as a spreadsheet's total: numbers, and no readings."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..kinds import same_name
from .numbers import Floats
from .table import POSITION, Table

# Of the last row alone, none of these is a kind of reading
CLEAR = frozenset(
    (
        *("sum", "total", "totals", "grand total", "average", "avg", "mean", "mean value", "median"),
        *("std", "stdev", "std dev", "st dev", "sd", "standard deviation"),
        *("summe", "gesamt", "mittelwert", "durchschnitt", "standardabweichung", "somme", "moyenne"),
    )
)
# These may be, as of a point at the end of the range; a summary has what it says
STATISTICS: dict[str, Callable[[Floats], float]] = {
    "min": np.min, "minimum": np.min, "max": np.max, "maximum": np.max,
    "n": len, "count": len,
}  # fmt: skip


def summaries(
    table: Table, columns: Sequence[Floats], asked: Sequence[int], where: str | None
) -> Iterator[str]:
    """What is wrong where the last rows are called so in one of the columns that were not asked for.

    `columns` are the numbers (N,) of those `asked` for, by their places; `where` is the condition for rows
    that is given. A column in which other rows hold such words is one of kinds, and tells nothing.
    """
    for place in range(len(table.names)):
        if (
            place not in asked
            and (first := _first(table, place))
            and _is_summary(table, columns, place, first)
        ):
            yield _told(table, place, first, where)


def _word(cell: str) -> str:
    return same_name(cell).casefold().replace(".", "").rstrip(":= ")


def _is_word(cell: str) -> bool:
    return (word := _word(cell)) in CLEAR or word in STATISTICS


def _first(table: Table, place: int) -> int:
    """The number of the row from which on all are called so; 0 where the last is not."""
    first = len(table.rows)
    while first and _is_word(table.rows[first - 1][place]):
        first -= 1
    return first if first < len(table.rows) else 0


def _is_summary(table: Table, columns: Sequence[Floats], place: int, first: int) -> bool:
    cells = table.cells(place)
    words = [_word(cell) for cell in cells[first:]]
    if len(set(words)) < len(words) or any(map(_is_word, cells[:first])):
        return False
    return not CLEAR.isdisjoint(words) or all(
        column[row] == STATISTICS[word](column[:first])
        for column in columns
        for row, word in enumerate(words, start=first)
    )


def _told(table: Table, place: int, first: int, where: str | None) -> str:
    name, lines = table.names[place], table.lines[first:]
    column = name if name and len(table.places(name)) == 1 else f"{POSITION}{place + 1}"
    called = [same_name(row[place]) for row in table.rows[first:]]
    kept = " and ".join(filter(None, [where, *(f"{column} != {word}" for word in called)]))
    which = f"line {lines[0]} is" if len(lines) == 1 else f"lines {lines[0]} to {lines[-1]} are"
    return (
        f"{which} called {', '.join(called)} (column {column.removeprefix(POSITION)}), no reading: delete "
        f"{'it' if len(lines) == 1 else 'them'}, or give {shlex.quote(table.source.spelled('where', kept))}"
    )
