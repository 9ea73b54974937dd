"""Cells -> numbers, and what is wrong with those that are none.

How numbers are written is one thing in a file: its decimal sign is told from all columns that are meant, and
where cells could be read in two ways, they are not read at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..config import ConfigError
from ..layout import DECIMALS, THOUSANDS
from .source import Source

Floats = npt.NDArray[np.float64]

MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "?"))
PLAIN_SIGNS = str.maketrans("−\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}", "-   ")

PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_EXPONENT = r"(?:[eEdD][+-]?\d+)?"
FORTRAN = re.compile(r"(?<=[\d.])[dD](?=[+-]?\d+$)")  # before its exponents
WITH_UNIT = re.compile(rf"(?P<number>[+-]?[\d.,]+{_EXPONENT}) ?(?P<unit>[^\W\d_][^\s\d]*|[°%‰'\"][^\s\d]*)")
FORMULA = re.compile(r"=[\w$'(+-]")
UNCERTAIN = re.compile(r"\d ?(?:±|\+/?-)|\d\(\d+\)")
BEGINS_AS_NUMBER = re.compile(r"[+-]?[.,]?\d")
# SCPI's 9.9E37 and 9.91E37 (not a number), 199.999E99 and the like of others, and the largest floats
OVERLOAD = re.compile(
    r"9\.9+1?e\+37|1\.99+e\+1\d\d|9\.9+e\+(?:9\d|1\d\d)|3\.4(?:0\d+)?e\+38|1\.7976\d*e\+308"
)
LEAST_OVERLOAD = 9e37
MOST_NAMED = 3  # of bad cells of one kind in a column; the rest are counted

Kind = Literal["missing", "overload", "text", "unclear"]  # the last is a number that is not to be left out


@dataclass(frozen=True)
class Fault:
    """Why a cell is no number: the cell as it is shown, empty where it is, and what is wrong with it."""

    kind: Kind
    cell: str
    why: str

    @property
    def text(self) -> str:
        """Both, in words."""
        return f"{self.cell} {self.why}".lstrip()

    @property
    def remedy(self) -> str:
        """What is to be done, or what is wrong where that is all: faults that share it are told as one."""
        return self.why.rpartition(": ")[2]


@dataclass(frozen=True)
class Numbers:
    """A column's numbers (N,), what is wrong in a row that has none, and the unit if the cells have one."""

    values: Floats
    faults: dict[int, Fault]
    unit: str = ""


def listed(faults: Iterable[tuple[int, str, Fault]]) -> list[str]:
    """What is wrong on which line in which column (empty: the whole row), each kind in a column once."""
    alike: dict[tuple[str, str], list[tuple[int, Fault]]] = {}
    for line, column, fault in faults:
        alike.setdefault((column, fault.remedy), []).append((line, fault))
    return [_told(column, found) for (column, _), found in alike.items()]


def _told(column: str, found: Sequence[tuple[int, Fault]]) -> str:
    """The first of these cells, those that are like it, and a count of the rest."""
    (line, fault), *others = found
    told = f"line {line}{f', column {column}' * bool(column)}: {fault.text}"
    named = [f"line {at}{f': {other.cell}' * bool(other.cell)}" for at, other in others[: MOST_NAMED - 1]]
    rest = len(found) - MOST_NAMED
    if rest > 0:
        named[-1] += f" and {rest:,} more"
    return f"{told} (so too {', '.join(named)})" if named else told


def is_missing(cell: str) -> bool:
    """Whether a cell says that there is nothing, as dashes do."""
    return cell.strip().strip("-").lower() in MISSING


def numbers(columns: Sequence[Sequence[str]], sign: str, source: Source) -> tuple[list[Numbers], list[str]]:
    """Of each column, and what was recognised; `sign` stands between the cells.

    Raises ConfigError for formulas that nobody has calculated.
    """
    decimal, doubts = _decimal(columns, sign, source)
    found = [_column(cells, decimal, doubts, source) for cells in columns]
    has_commas = decimal == "," and not source.layout.decimal and not source.layout.thousands
    units = dict.fromkeys(each.unit for each in found if each.unit)
    said = ["decimal commas"] if has_commas else []
    return found, said + ([f"units in the cells ({', '.join(units)})"] if units else [])


# A single group of three digits behind a sign may be decimals or thousands; all else has one reading
_EITHER = {sign: re.compile(rf"[+-]?[1-9]\d{{0,2}}{re.escape(sign)}\d{{3}}") for sign in ".,"}
_WITH_SIGN = {sign: re.compile(rf"[+-]?\d*{re.escape(sign)}\d*{_EXPONENT}") for sign in ".,"}
_GROUPED = re.compile(
    r"[+-]?[1-9]\d{0,2}(?:(?P<comma>(?:,\d{3})+\.\d*|(?:,\d{3}){2,})|(?P<point>(?:\.\d{3})+,\d*|(?:\.\d{3}){2,})"
    r"|(?P<blank>(?: \d{3})+(?:[.,]\d*)?)|(?P<apostrophe>(?:'\d{3})+(?:[.,]\d*)?))"
)


def _has_decimals(cell: str, sign: str) -> bool:
    """Whether what stands behind the sign can only be decimals."""
    return bool(_WITH_SIGN[sign].fullmatch(cell)) and not _EITHER[sign].fullmatch(cell)


def _decimal(columns: Sequence[Sequence[str]], sign: str, source: Source) -> tuple[str, dict[str, str]]:
    """The decimal sign, and what cells that could be read in two ways are told, by the sign in them."""
    layout = source.layout
    if layout.decimal:
        return DECIMALS[layout.decimal], {}
    if layout.thousands:
        return ("," if layout.thousands == "point" else "."), {}
    commas = list(_with(",", columns))
    if (commas or sign == ";") and not any(_has_decimals(cell, ".") for cell in _with(".", columns)):
        if any(_has_decimals(cell, ",") for cell in commas):
            return ",", {}
        if sign == ";":  # of countries where a point stands between thousands
            return ".", {each: _either(word, source) for each, word in ((",", "comma"), (".", "point"))}
    return ".", {",": _either("comma", source)}


def _either(word: str, source: Source) -> str:
    return f"give {source.spelled('decimal', word)} or {source.spelled('thousands', word)}"


def _with(sign: str, columns: Iterable[Sequence[str]]) -> Iterator[str]:
    """The cells with this sign, without their units."""
    return (_number_of(_bare(cell)) for column in columns for cell in column if sign in cell)


def _bare(cell: str) -> str:
    return cell.strip().translate(PLAIN_SIGNS)


def _number_of(cell: str) -> str:
    found = WITH_UNIT.fullmatch(cell)
    return found["number"] if found else cell


def _column(cells: Sequence[str], decimal: str, doubts: dict[str, str], source: Source) -> Numbers:
    values = _at_once(cells, decimal, doubts, source)
    if values is not None:
        return Numbers(values, _overloads(cells, values))
    bare = [_bare(cell) for cell in cells]
    unit = _unit(bare)
    if unit:
        bare = [_number_of(cell) for cell in bare]
    values, faults = np.full(len(bare), np.nan), {}
    for row, cell in enumerate(bare):
        found = _read(cell, decimal, doubts, source)
        if isinstance(found, Fault):
            faults[row] = found
        else:
            values[row] = found
    return Numbers(values, faults | _overloads(cells, values), unit)


def _at_once(cells: Sequence[str], decimal: str, doubts: dict[str, str], source: Source) -> Floats | None:
    """The numbers of cells that are plain, all of them; None for others."""
    if decimal != "." or "." in doubts or source.layout.thousands:
        return None
    try:
        values = np.array(cells, dtype=object).astype(np.float64)
    except ValueError:
        return None
    is_plain = np.isfinite(values).all() and not any("_" in cell for cell in cells)  # 1_000 is Python's
    return values if is_plain else None


def _overloads(cells: Sequence[str], values: Floats) -> dict[int, Fault]:
    """The codes that an instrument gives for what is beyond its range."""
    with np.errstate(invalid="ignore"):
        large = np.flatnonzero(np.abs(values) >= LEAST_OVERLOAD).tolist()
    return {
        row: Fault("overload", cells[row].strip(), "is an instrument's overload code, not a reading")
        for row in large
        if OVERLOAD.fullmatch(repr(float(abs(values[row]))))
    }


def _unit(cells: Sequence[str]) -> str:
    """What stands behind every number; empty where that differs."""
    numbers = [WITH_UNIT.fullmatch(cell) for cell in cells if BEGINS_AS_NUMBER.match(cell)]
    units = {found["unit"] if found else "" for found in numbers}
    return units.pop() if len(units) == 1 else ""


def _read(cell: str, decimal: str, doubts: dict[str, str], source: Source) -> float | Fault:
    if is_missing(cell):
        return Fault("missing", cell, "is not a finite number" if cell else "empty, where a number is needed")
    if "\0" in cell:
        return Fault("text", "", "NUL bytes, as of a logger that lost power")
    plain = _plain(cell, decimal, source)
    if plain and not _in_doubt(cell, doubts):
        value = float(plain)
        return value if np.isfinite(value) else Fault("unclear", cell, "is not a finite number")
    if FORMULA.match(cell):
        raise ConfigError(
            f"{source.name} holds formulas without their values, as {cell[:40]}: "
            "open it in Excel or LibreOffice, and save it"
        )
    if not BEGINS_AS_NUMBER.match(cell):
        is_infinite = cell.lower().lstrip("+-") in ("inf", "infinity")
        if is_infinite:
            return Fault("text", cell, "is not a finite number")
        return Fault("text", _shown(cell), "is not a number")
    return Fault("unclear", _shown(cell), _why(cell, decimal, doubts, source))


def _shown(cell: str) -> str:
    return repr(cell[:40])


def _in_doubt(cell: str, doubts: dict[str, str]) -> str:
    return next((sign for sign in doubts if _EITHER[sign].fullmatch(cell)), "")


def _plain(cell: str, decimal: str, source: Source) -> str:
    """The number as Python writes it; empty for none."""
    if source.layout.thousands:
        sign = re.escape(THOUSANDS[source.layout.thousands])
        if re.match(rf"[+-]?\d{{1,3}}(?:{sign}\d{{3}})+(?!\d)", cell):
            cell = cell.replace(THOUSANDS[source.layout.thousands], "")
    if decimal == ",":
        cell = "" if "." in cell else cell.replace(",", ".")
    cell = FORTRAN.sub("e", cell)
    return cell if PLAIN.fullmatch(cell) else ""


def _why(cell: str, decimal: str, doubts: dict[str, str], source: Source) -> str:
    """What is wrong with what begins as a number."""
    if sign := _in_doubt(cell, doubts):
        return f"could be {cell.replace(sign, '.')} or {cell.replace(sign, '')}: {doubts[sign]}"
    if (grouped := _GROUPED.fullmatch(cell)) and not source.layout.thousands:
        given = source.spelled("thousands", grouped.lastgroup or "")
        return f"has {grouped.lastgroup}s between thousands: give {given}"
    if decimal == "," and "." in cell and PLAIN.fullmatch(cell):
        return "has a point, where decimal signs are commas"
    if _WITH_SIGN[","].fullmatch(cell):
        return "has a comma, where decimal signs are points"
    if UNCERTAIN.search(cell):
        return "is a number with its uncertainty: give each a column of its own"
    return "is not a number"
