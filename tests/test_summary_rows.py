"""A last row that sums up those above is none of the readings, and a label like theirs no fault."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from src.config import ConfigError
from src.data import Pairs, load
from src.settings import DataSettings

ROWS = {"A1": "0.5,10", "A2": "1.0,20", "A3": "1.5,31"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.csv"


def read(path: Path, content: str, **settings: Any) -> Pairs:
    path.write_text(content)
    return load(DataSettings(path=str(path), input="volt", target="celsius", **settings), 2)


def labelled(rows: dict[str, str], column: str = "serial") -> str:
    return f"{column},volt,celsius\n" + "".join(f"{label},{row}\n" for label, row in rows.items())


@pytest.mark.parametrize(
    ("below", "told"),
    [
        ({"Total": "3.0,61"}, "line 5 is called Total (column serial), no reading: delete it"),
        ({"Average:": "1.1,20"}, "line 5 is called Average:"),
        ({"Mittelwert": "1,20.33"}, "line 5 is called Mittelwert"),
        ({"N": "3,3"}, "line 5 is called N"),
        ({"Min": "0.5,10", "Max": "1.5,31"}, "lines 5 to 6 are called Min, Max"),
        (
            {"Mean": "1,20.33", "Std. Dev.": "0.5,10.5", "MIN": "0.5,9", "MAX": "1.5,31"},
            "lines 5 to 8 are called Mean, Std. Dev., MIN, MAX (column serial), no reading: delete them",
        ),
    ],
)
@pytest.mark.parametrize("column", ["serial", ""])
def test_what_sums_up_the_readings(below: dict[str, str], told: str, column: str, path: Path) -> None:
    """It is refused by its lines, and the condition that is given leaves out these and nothing else."""
    content = labelled(ROWS | below, column)
    with pytest.raises(ConfigError) as error:
        read(path, content, where="volt < 9")
    assert told.replace("column serial", f"column {column or 1}") in str(error.value)
    [given] = [word for word in shlex.split(str(error.value)) if word.startswith("data.where=")]
    assert list(read(path, content, where=given.removeprefix("data.where=")).t_u) == [0.5, 1, 1.5]


@pytest.mark.parametrize(
    "rows",
    [
        ["zero,0.5,10", "half,1.0,20", "max,1.5,31"],
        ["y,0.5,10", "y,1.0,20", "n,1.5,31"],
        ["mean,0.5,10", "max,1.0,20", "mean,1.5,31"],
        ["a,0.5,10", "mean,1.0,20", "mean,1.5,31"],
        ["mean,0.5,10", "b,1.0,20", "mean,1.5,31"],
        ["mean,0.5,10", "min,1.0,20", "max,1.5,31"],
    ],
)
def test_labels_of_readings(rows: list[str], path: Path) -> None:
    """Words that other rows have, or that the numbers do not bear out, are taken as they come."""
    found = read(path, "\n".join(["kind,volt,celsius", *rows, ""]))
    assert list(found.t_u) == [0.5, 1, 1.5]
    assert list(found.lines) == [2, 3, 4]


def test_a_summary_with_empty_cells(path: Path) -> None:
    """It is left out as what has no number, and the one above it is not taken for a reading."""
    content = labelled(ROWS | {"Mean": "1,20.33", "Std": "0.5,"})
    with pytest.raises(ConfigError, match="line 5 is called Mean"):
        read(path, content, missing="drop")
