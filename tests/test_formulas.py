"""Formulas in a workbook are numbers once a program that calculates has saved it; before, they are none."""

import zipfile
from pathlib import Path

import openpyxl
import pytest

from src.config import ConfigError
from src.data import Pairs, load
from src.settings import DataSettings


def written(path: Path, column: str = "celsius") -> Path:
    """A workbook whose last column is twenty times the first, by formulas, as openpyxl leaves it."""
    book = openpyxl.Workbook()
    rows = [["volt", column], *([n / 2, f"=A{n + 1}*20"] for n in range(1, 5))]
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def edited(path: Path, was: str, now: str) -> Path:
    """With another text in its parts, each of which has it or not."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert any(was in text for text in parts.values())
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text.replace(was, now))
    return path


def read(path: Path, **settings: str) -> Pairs:
    return load(DataSettings(path=str(path), **({"input": "volt", "target": "celsius"} | settings)), 2)


@pytest.mark.parametrize("value", ["<v />", "<v>0</v>"], ids=["openpyxl", "XlsxWriter"])
@pytest.mark.parametrize("settings", [{}, {"missing": "drop"}, {"where": "celsius > 0"}], ids=str)
def test_formulas_that_nobody_has_calculated(value: str, settings: dict[str, str], tmp_path: Path) -> None:
    """Programs that write formulas give them no value, or 0: no reading, nor a row without one."""
    path = edited(written(tmp_path / "mine.xlsx"), "<v />", value)
    with pytest.raises(ConfigError, match=r"formulas without their values, as =A2\*20: open it in Excel"):
        read(path, **settings)


def test_formulas_in_a_column_that_is_not_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.xlsx", "twice")
    book = openpyxl.load_workbook(path)
    for row, value in enumerate(["celsius", 10, 20, 31, 40], start=1):
        book.active.cell(row, 3, value)
    book.save(path)
    assert list(read(path).t_c) == [10, 20, 31, 40]


def test_formulas_that_excel_has_calculated(tmp_path: Path) -> None:
    path = edited(written(tmp_path / "mine.xlsx"), "</f><v />", "</f><v>7</v>")
    path = edited(edited(path, ' fullCalcOnLoad="1"', ""), "A3*20</f><v>7</v>", "A3*20</f><v>8</v>")
    assert list(read(path).t_c) == [7, 8, 7, 7]


def test_formulas_in_a_text(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("volt,celsius\n0.5,10\n1.0,=A2*40\n1.5,31\n")
    with pytest.raises(ConfigError, match="formulas without their values, as =A2"):
        read(tmp_path / "mine.csv")
