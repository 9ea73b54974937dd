"""Which rows are meant: those that a condition holds for."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ..config import ConfigError
from ..kinds import AND, CONDITION, same_name
from .numbers import PLAIN
from .table import Table

SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def where(table: Table, condition: str) -> Table:
    """The rows for which it holds; a cell without a number is neither greater nor less than one.

    Raises ConfigError where a column is not there, or texts are to be ordered.
    """
    checks = [_check(table, part) for part in AND.split(condition)]
    return table.only(lambda row: all(check(row) for check in checks))


def _check(table: Table, part: str) -> Callable[[int], bool]:
    parsed = CONDITION.fullmatch(part)
    assert parsed, part
    column, sign, value = parsed.group("column", "sign", "value")
    given = f"{table.source.name}: {table.source.spelled('where', part.strip())}"
    places = table.places(column)
    if len(places) != 1:
        raise ConfigError(
            f"{given}: {len(places)} columns are called {column}; there are {', '.join(table.names)}"
        )
    if PLAIN.fullmatch(value):
        [found], _ = table.numbers(places)
        if unclear := [fault.text for fault in found.faults.values() if fault.kind == "unclear"]:
            raise ConfigError(f"{given}: column {column}: {unclear[0]}")
        values, number = found.values, float(value)
        return lambda row: bool(SIGNS[sign](values[row], number))
    if sign not in ("==", "!="):
        raise ConfigError(f"{given}: {value} is not a number, and texts have no order: give == or !=")
    cells, text = table.cells(places[0]), same_name(value.strip("'\""))
    return lambda row: SIGNS[sign](same_name(cells[row]), text)
