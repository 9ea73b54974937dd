"""Excel workbooks and Parquet files -> rows of cells as text."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

from ..config import ConfigError, one_line
from ..package import NAME
from .delimited import Rows
from .files import OLD_WORKBOOK, PARQUET, is_workbook
from .source import Source

if TYPE_CHECKING:
    import pandas as pd


def is_sheets(content: bytes) -> bool:
    """Whether it is one of these, and no text."""
    return content.startswith((PARQUET, OLD_WORKBOOK)) or is_workbook(content)


def read(content: bytes, source: Source) -> tuple[Rows, list[str]]:
    """The rows that have any cells, and what was recognised; a row's line is its number in the sheet.

    Raises ConfigError where what reads it is not installed, it is damaged, or several sheets could be meant.
    """
    if content.startswith(OLD_WORKBOOK):
        raise ConfigError(f"{source.name} is an old Excel workbook: save it as .xlsx, or as CSV")
    kind = "Parquet" if content.startswith(PARQUET) else "an Excel workbook"
    try:
        with warnings.catch_warnings(action="ignore"):  # openpyxl's, of what a sheet shows beside its cells
            return _parquet(content) if kind == "Parquet" else _workbook(content, source)
    except ImportError as error:
        raise ConfigError(
            f"{source.name} is {kind}, and what reads it is not installed: pip install '{NAME}[files]'"
        ) from error
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{source.name} is {kind} that cannot be read: {one_line(error)}") from error


def _parquet(content: bytes) -> tuple[Rows, list[str]]:
    import pandas as pd

    frame = pd.read_parquet(io.BytesIO(content))
    rows, _ = _as_text(frame)
    return ([list(map(str, frame.columns)), *rows], list(range(1, len(rows) + 2))), ["Parquet"]


def _workbook(content: bytes, source: Source) -> tuple[Rows, list[str]]:
    import pandas as pd

    sheets = pd.read_excel(
        io.BytesIO(content), sheet_name=None, header=None, dtype=object, engine="openpyxl",
        engine_kwargs={"data_only": not _is_uncalculated(content)},
    )  # fmt: skip
    filled = [name for name, frame in sheets.items() if len(frame)]
    sheet = source.layout.sheet
    if (sheet is not None and sheet not in sheets) or (sheet is None and len(filled) > 1):
        given = f"{source.spelled('sheet', sheet)} is not there" if sheet else "which sheet?"
        choices = " or ".join(source.spelled("sheet", name) for name in filled[:5])
        raise ConfigError(f"{source.name}: {given}: give {choices}")
    chosen = sheet or (filled or list(sheets))[0]
    rows, lines = _as_text(sheets[chosen])
    return (rows, lines), [f"sheet {chosen}"]


def _is_uncalculated(content: bytes) -> bool:
    """Whether Excel is still to calculate its formulas, as of a program's: their values are empty, or 0."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        books = [name for name in archive.namelist() if name.endswith("/workbook.xml")]
        return any(b'fullCalcOnLoad="1"' in archive.read(name) for name in books)


def _as_text(frame: pd.DataFrame) -> Rows:
    cells = [[_text(cell) for cell in row] for row in frame.itertuples(index=False, name=None)]
    kept = [place for place, row in enumerate(cells) if any(row)]
    return [cells[place] for place in kept], [place + 1 for place in kept]


def _text(cell: Any) -> str:
    """A number by the shortest text that is this number."""
    if cell is None or cell != cell:  # nan is not itself
        return ""
    plain = cell.item() if hasattr(cell, "item") else cell
    return repr(plain).removesuffix(".0") if isinstance(plain, float) else str(plain)
