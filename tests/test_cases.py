"""Files as they come: each kind is read right, and what was recognised is said, or refused with what helps.

The lines are numpy's, through the pairs that a person reads from the file.
"""

import bz2
import gzip
import lzma
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from src.config import ConfigError
from src.data import Pairs, load
from src.settings import DataSettings
from tests.conftest import ROOT

CASES = ROOT / "tests" / "cases"
PAIRS = [(0.5, 10), (1.0, 20), (1.5, 31)]
POSITIVE = [(0.5, 10), (1.0, 20), (1.5, 31), (2.0, 39)]
ROWS = "volt,celsius\n0.5,10\n1.0,20\n1.5,31\n"
SEMICOLONS = ROWS.replace(",", ";")
GERMAN = SEMICOLONS.replace(".", ",")


class Taken(NamedTuple):
    """A file that is read: its pairs, what is said of it, and the settings it takes."""

    settings: dict[str, Any]
    said: list[str]
    pairs: list[tuple[float, float]] = PAIRS


class Refused(NamedTuple):
    """A file that is not: words of the error, and settings with which it is then read as these pairs."""

    words: list[str]
    settings: dict[str, Any]
    helps: dict[str, Any] = {}  # noqa: RUF012  (of a tuple, which nobody changes)
    pairs: list[tuple[float, float]] = PAIRS


def columns(input: str = "volt", target: str = "celsius", **more: Any) -> dict[str, Any]:
    return {"input": input, "target": target, **more}


DROP = {"missing": "drop"}
OVERLOAD = "is an instrument's overload code"
FILES: dict[str, Taken | Refused] = {
    "semicolon.csv": Taken(columns(), ["semicolons between cells"]),
    "semicolon-decimal-comma.csv": Taken(columns(), ["semicolons between cells", "decimal commas"]),
    "tab.csv": Taken(columns(), ["tabs between cells"]),
    "sep-line.csv": Taken(columns(), []),
    "comments.csv": Taken(columns(), ["2 comment lines"]),
    "units-row.csv": Taken(columns(), ["units (V, degC) from line 2"]),
    "trailing-delimiter.csv": Taken(columns(), ["a delimiter at the end of each line"]),
    "preamble.csv": Taken(columns(), ["names from line 2"]),
    "latin1-degree.csv": Taken(columns(target="T °C"), ["cp1252 text"]),
    "bracket-names.csv": Taken(columns("volt [mV]", "true"), []),
    "thousands.csv": Refused(
        ["'1,000.5' has commas between thousands", "data.thousands=comma", "'2,000' could be 2.000 or 2000"],
        columns(), {"thousands": "comma"}, [(1000.5, 10), (2000, 20), (3000, 31)],
    ),
    "ambiguous.csv": Refused(
        ["the 4 cells 0 | 5 | 10 | 0", "the 2 cells 0,5 | 10,0", "data.decimal=comma"],
        columns(), {"decimal": "comma"},
    ),
    "sentinel.csv": Taken(
        columns(), [], [(0.5, 10), (1.0, 20), (1.5, 31), (2, -9999), (2.5, 51), (3, 62)]
    ),
    "quote-inch.csv": Refused(
        ["lines 4 to 10: a quoted cell holds what looks like rows", "data.quote=none"],
        columns(), {"quote": "none"},
        [(x / 2, y) for x, y in enumerate([10, 14, 18, 42, 46, 50, 54, 58, 42, 46, 50, 54])],
    ),
    "quote-prime.csv": Taken(columns(), []),
    "quote-newlines-meant.csv": Taken(columns(), [], [(0, 5), (1, 15), (2, 25)]),
    "quote-never-closed.csv": Refused(
        ["line 2: a quote", "never closed", "data.quote=none"], columns(), {"quote": "none"}
    ),
    "overload-9e37.csv": Refused(
        [f"line 4, column volt: 9.9E+37 {OVERLOAD}", "data.missing=drop"],
        columns(), {"missing": "drop"}, [(0.5, 10), (1, 20), (1.5, 31), (2, 40)],
    ),
    "overload-negative.csv": Refused(
        [f"line 6, column celsius: -9.91e37 {OVERLOAD}", "data.missing=drop"],
        columns(), {"missing": "drop"}, [(0.5, 10), (1, 20), (1.5, 31), (2, 40)],
    ),
    "micro.csv": Taken(columns("\N{MICRO SIGN}A", "kPa"), [], [(4, 0), (8, 25), (12, 50), (20, 100)]),
    "nbsp.csv": Taken(columns(target="Temp C"), []),
    "newline-header.csv": Taken(columns("Output (V)", "Ref (°C)"), []),
    "two-temps.csv": Refused(
        ["3 columns have that name, 2, 3, 4", "data.input=column:2"],
        columns("Temp", "Ref"), {"input": "column:3"}, [(20.3, 20), (40.9, 40), (61.6, 60)],
    ),
    "nul-tail.csv": Refused(
        ["line 5: NUL bytes, as of a logger that lost power", "data.missing=drop"],
        columns(), {"missing": "drop"},
    ),
    "headerless.csv": Refused(
        ["line 1 is numbers (0.5, 10)", "data.header=none", "column:1"],
        columns(), {"header": "none", "input": "column:1", "target": "column:2"}, POSITIVE,
    ),
    "restart.csv": Refused(
        ["line 4, column volt", "line 5, column volt: 'volt'", "line 8, column volt: -", "data.missing=drop"],
        columns(), {"missing": "drop"}, [(0.5, 10), (1, 20), (1.5, 31), (2, 39), (2.5, 51)],
    ),
    "scpi-units.csv": Taken(columns("reading"), ["units in the cells (VDC)"]),
    "cut-off.csv": Taken(
        columns(), ["the last line, 5, has no end: is it whole?"], [(0.5, 10), (1, 20), (1.5, 31), (2, 4)]
    ),
    "tiny.csv": Taken(
        columns("hz", "psd"), [], [(1, 1.2e-20), (2, 2.1e-20), (3, 2.9e-20), (4, 4.2e-20)]
    ),
    "unsorted.csv": Taken(
        columns("counts", "distance"), [],
        [(7, 34.5), (1, 4.5), (9, 52.5), (3, 10.5), (5, 20.5), (0, 3), (10, 63), (2, 7), (8, 43), (6, 27),
         (4, 15)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_collection(name: str) -> None:
    check((CASES / name), FILES[name])


def check(path: Path, expected: Taken | Refused) -> None:
    if isinstance(expected, Taken):
        found = read(path, expected.settings)
        assert found.said == tuple(filter(None, [", ".join(expected.said)]))
    else:
        with pytest.raises(ConfigError) as error:
            read(path, expected.settings)
        for words in (path.name, *expected.words):
            assert words in str(error.value)
        assert len(str(error.value)) < 600
        assert "\n" not in str(error.value)
        if not expected.helps:
            return
        found = read(path, expected.settings | expected.helps)
    assert list(zip(found.t_u, found.t_c, strict=True)) == expected.pairs


def read(path: Path, settings: dict[str, Any]) -> Pairs:
    return load(DataSettings(path=str(path), **settings), 2)


MORE: dict[str, tuple[str | bytes, Taken | Refused]] = {
    "bars": (ROWS.replace(",", "|"), Taken(columns(), ["bars between cells"])),
    "blanks": (ROWS.replace(",", "   "), Refused(["no such column"], columns(), {"delimiter": "blank"})),
    "UTF-16": (ROWS.encode("utf-16"), Taken(columns(), ["UTF-16"])),
    "UTF-16 without its mark": (
        ROWS.encode("utf-16-le"),
        Refused(["data.encoding=utf-16-le"], columns(), {"encoding": "utf-16-le"}),
    ),
    "UTF-8 with a mark": (ROWS.encode("utf-8-sig"), Taken(columns(), [])),
    "another encoding": (
        "volt,celsius,Gerät\n0.5,10,a\n1.0,20,b\n1.5,31,c\n".encode("cp1252"),
        Refused(["line 1 has 'Gerät'", "data.encoding=cp1252"], columns(), {"encoding": "cp1252"}),
    ),
    "a binary file": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff", Refused(["binary data", "CSV"], columns())),
    "lines of an old Mac": (ROWS.replace("\n", "\r"), Taken(columns(), [])),
    "CRLF and empty lines": ("\r\n" + ROWS.replace("\n", "\r\n\r\n"), Taken(columns(), [])),
    "rows of nothing": (
        ROWS.replace("1.0", ",\n1.0"),
        Taken(columns(), ["1 row without a cell left out (line 3)"]),
    ),
    "names that are a comment, as numpy writes": (
        "# " + ROWS,
        Taken(columns(), ["1 comment line", "names from the comment in line 1"]),
    ),
    "comments of another kind": (
        "% bench 3, left\n" + ROWS + "%1,2\n",
        Refused(["line 6, column volt: '%1'"], columns(), {"comment": "%"}),
    ),
    "names that begin like a comment": (
        "volt,celsius\n0.5,10\n1.0,20\n#1.5,31\n1.5,31\n",
        Taken(columns(), ["1 comment line"]),
    ),
    "a logger's four lines (TOA5)": (
        '"TOA5","CR1000","7","bench"\n"TIME","N","volt","celsius"\n"TS","RN","V","Deg C"\n'
        '"","","Avg","Smp"\n"10:00",1,0.5,10\n"10:01",2,1.0,20\n"10:02",3,1.5,31\n',
        Taken(columns(), ["names from line 2", "units (V, Deg C) from line 3", "line 4 left out"]),
    ),
    "pairs of words above the names": (
        "Device,Fluke\nSerial,12345\nDate,2024-01-01\n" + ROWS,
        Taken(columns(), ["names from line 4"]),
    ),
    "names above which nothing tells": (
        "a;b\n" + SEMICOLONS,
        Taken(
            columns("column:1", "column:2"),
            ["semicolons between cells", "units (volt, celsius) from line 2"],
        ),
    ),
    "years for names": (
        "2019,2020\n0.5,10\n1.0,20\n1.5,31\n",
        Refused(["line 1 is numbers", "data.header=1"], columns("2019", "2020"), {"header": 1}),
    ),
    "only groups of three behind commas": (
        "volt;celsius\n1,500;10\n2,000;20\n2,500;31\n",
        Refused(
            ["'1,500' could be 1.500 or 1500", "data.decimal=comma or data.thousands=comma"],
            columns(), {"decimal": "comma"}, [(1.5, 10), (2, 20), (2.5, 31)],
        ),
    ),
    "only groups of three behind points, between semicolons": (
        "volt;celsius\n1.500;10\n2.000;20\n2.500;31\n",
        Refused(
            ["'1.500' could be 1.500 or 1500", "data.decimal=point or data.thousands=point"],
            columns(), {"thousands": "point"}, [(1500, 10), (2000, 20), (2500, 31)],
        ),
    ),
    "points between thousands, commas before decimals": (
        "volt;celsius\n1.500,5;10\n2.000,5;20\n2.500,0;31\n",
        Refused(
            ["'1.500,5' has points between thousands: give data.thousands=point"],
            columns(), {"thousands": "point"}, [(1500.5, 10), (2000.5, 20), (2500, 31)],
        ),
    ),
    "blanks between thousands": (
        "volt;celsius\n1\N{NARROW NO-BREAK SPACE}500,5;10\n2 000,5;20\n2 500,0;31\n",
        Refused(
            ["has blanks between thousands: give data.thousands=blank"],
            columns(), {"thousands": "blank", "decimal": "comma"}, [(1500.5, 10), (2000.5, 20), (2500, 31)],
        ),
    ),
    "decimal commas in quotes": (
        'volt,celsius\n"0,5",10\n"1,0",20\n"1,5",31\n', Taken(columns(), ["decimal commas"])
    ),
    "points and commas": (
        "volt;celsius\n0,5;10.5\n1,0;20.5\n",
        Refused(["'0,5' has a comma, where decimal signs are points"], columns()),
    ),
    "one cell too many": (
        ROWS + "2,0,39\n", Refused(["line 5: 3 cells, where the header names 2"], columns())
    ),
    "a typographer's minus": (
        ROWS.replace("10", "−10"), Taken(columns(), [], [(0.5, -10), (1, 20), (1.5, 31)])
    ),
    "numbers as Python writes them": (
        ROWS.replace("10", "1_0"), Refused(["line 2, column celsius: '1_0' is not a number"], columns())
    ),
    "Fortran's exponents": (
        "volt,celsius\n0.5D+00,1d1\n.01D2,0.20D+02\n15.D-1,3.1D1\n", Taken(columns(), [])
    ),
    "Fortran's exponents behind commas": (
        "volt;celsius\n0,5D+00;10\n1,0D+00;20\n1,5D+00;31\n",
        Taken(columns(), ["semicolons between cells, decimal commas"]),
    ),
    "values with their uncertainties": (
        "volt,celsius\n0.5,10±1\n1.0,20 ± 1\n1.5,31 +/- 1\n",
        Refused(
            ["line 2, column celsius: '10±1' is a number with its uncertainty: give each a column"],
            columns(missing="drop"),
        ),
    ),
    "uncertainties of the last digits": (
        "volt,celsius\n0.5,10.0(12)\n1.0,20.0(12)\n1.5,31.0(12)\n",
        Refused(["'10.0(12)' is a number with its uncertainty"], columns()),
    ),
    "two units": (
        "volt,celsius\n500 mV,10\n1.0 V,20\n1.5 V,31\n",
        Refused(["line 2, column volt: '500 mV'"], columns(missing="drop")),
    ),
    "an overload of 199.999E99": (
        ROWS.replace("31", "199.999E99"),
        Refused([f"line 4, column celsius: 199.999E99 {OVERLOAD}"], columns(), DROP, PAIRS[:2]),
    ),
    "an overload written out": (
        ROWS.replace("31", "-99" + 36 * "0"),
        Refused([OVERLOAD], columns(), {"missing": "drop"}, PAIRS[:2]),
    ),
    "a large number that is no code": (
        ROWS.replace("31", "1.3e38"), Taken(columns(), [], [*PAIRS[:2], (1.5, 1.3e38)])
    ),
    "words for nothing": (
        ROWS + "2,NA\n2.5,-\n3,\n",
        Refused(["line 5, column celsius: NA", "line 6", "line 7, column celsius: empty"], columns(), DROP),
    ),
    "a quote around rows in the middle": (
        'volt,note,celsius\n0.5,"probe,10\n1.0,ok,20\n1.5,again",31\n',
        Refused(["lines 2 to 4", "data.quote=none"], columns(), {"quote": "none"}),
    ),
    "a column that is not there": (
        ROWS, Refused(["no such column; the file has volt, celsius"], columns("mV"))
    ),
    "a place that is not there": (
        ROWS, Refused(["data.input=column:3: no such column"], columns("column:3"))
    ),
    "names alike but for their micro signs": (
        "\N{MICRO SIGN}A,\N{GREEK SMALL LETTER MU}A,celsius\n0.5,1,10\n1.0,1,20\n1.5,1,31\n",
        Refused(["2 columns have that name, 1, 2"], columns("\N{MICRO SIGN}A"), {"input": "column:1"}),
    ),
    "some rows": (
        ROWS + "2,-9999\n9,9\n",
        Taken(columns(where="celsius > 0 and volt < 2"), ["2 rows left out by celsius > 0 and volt < 2"]),
    ),
    "rows by a word": (
        "volt,celsius,who\n0.5,10,me\n1.0,20,me\n9,9,you\n1.5,31,me\n",
        Taken(columns(where="who == me"), ["1 row left out by who == me"]),
    ),
    "rows of which none is meant": (
        ROWS, Refused(["0 observations", "(3 rows left out by volt > 300)"], columns(where="volt > 300"))
    ),
    "rows of a column that is not there": (
        ROWS,
        Refused(["data.where=x > 1: 0 columns are called x", "volt, celsius"], columns(where="x > 1")),
    ),
    "a sheet of what has none": (
        ROWS, Taken(columns(sheet="Feb"), ["no workbook, data.sheet=Feb is not needed"])
    ),
    "gzip": (gzip.compress(ROWS.encode()), Taken(columns(), [])),
    "xz": (lzma.compress(GERMAN.encode()), Taken(columns(), ["semicolons between cells", "decimal commas"])),
    "bzip2": (bz2.compress(ROWS.encode()), Taken(columns(), [])),
    "a packed file that is cut off": (
        gzip.compress(ROWS.encode())[:-9], Refused(["cannot be unpacked"], columns())
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", MORE)
def test_a_further_kind(kind: str, tmp_path: Path) -> None:
    content, expected = MORE[kind]
    path = tmp_path / "mine.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    check(path, expected)


def test_forty_kinds() -> None:
    """As the collection promises; each is of its own content."""
    contents = {(CASES / name).read_bytes() for name in FILES} | {content for content, _ in MORE.values()}
    assert len(contents) >= 40


def test_a_zip_of_one_file(tmp_path: Path) -> None:
    for names, words in ((["a.csv"], ""), (["a.csv", "b.csv"], "holds 2 files, a.csv, b.csv")):
        path = tmp_path / "mine.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, ROWS)
        check(path, Refused([words], columns()) if words else Taken(columns(), []))


def workbook(path: Path, **sheets: pd.DataFrame) -> Path:
    with pd.ExcelWriter(path, engine="openpyxl") as writer:
        for name, frame in sheets.items():
            frame.to_excel(writer, sheet_name=name, index=False, header=False)
    return path


def test_a_workbook(tmp_path: Path) -> None:
    """The sheet that has cells; of several the one that is said; a line above the names, and units."""
    cells = [["bench 3", None], ["volt", "celsius"], ["V", "°C"], *PAIRS]
    raw, empty = pd.DataFrame(cells), pd.DataFrame()
    said = ["sheet Raw", "names from line 2", "units (V, °C) from line 3"]
    check(workbook(tmp_path / "one.xlsx", Raw=raw, Sheet2=empty), Taken(columns(), said))
    two = workbook(tmp_path / "two.xlsx", Raw=raw, Other=raw.head(2))
    check(two, Refused(["which sheet?", "data.sheet=Raw or data.sheet=Other"], columns(), {"sheet": "Raw"}))
    check(two, Refused(["data.sheet=Row is not there"], columns(sheet="Row")))


def test_parquet(tmp_path: Path) -> None:
    """Numbers to their last bit, whole ones too."""
    frame = pd.DataFrame({"volt": [0.1 + 0.2, 1 / 3, 2e-300], "celsius": [10, 20, 2**53]})
    frame.to_parquet(tmp_path / "mine.parquet")
    pairs = list(zip(frame.volt, frame.celsius.astype(float), strict=True))
    check(tmp_path / "mine.parquet", Taken(columns(), ["Parquet"], pairs))


def test_what_reads_excel_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workbook(tmp_path / "mine.xlsx", Raw=pd.DataFrame([["volt", "celsius"], *PAIRS]))
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    check(path, Refused(["is not installed", "[files]'"], columns()))


@pytest.mark.parametrize("name", ["units-row.csv", "scpi-units.csv"])
def test_units_from_the_file(name: str) -> None:
    """They are the pairs' own, unless the settings give others."""
    names = columns() if name == "units-row.csv" else columns("reading")
    unit = "V" if name == "units-row.csv" else "VDC"
    assert read(CASES / name, names).settings.input_unit == unit
    assert read(CASES / name, names | {"units": {names["input"]: "mV"}}).settings.input_unit == "mV"


def test_lines_of_what_is_left(tmp_path: Path) -> None:
    """Of the file, whatever is left out above."""
    assert list(read(CASES / "restart.csv", columns(missing="drop")).lines) == [2, 3, 6, 7, 9]
    path = tmp_path / "mine.csv"
    path.write_text('# a\nvolt,celsius,note\n0.5,10,"two\nlines, meant"\n\n1.0,20,b\n1.5,31,c\n')
    assert list(read(path, columns()).lines) == [3, 6, 7]


def test_one_digest_however_written(tmp_path: Path) -> None:
    """The same numbers are the same data: a run on one is a run on the other."""
    digests = {read(CASES / name, columns()).digest for name in ("semicolon-decimal-comma.csv", "tab.csv")}
    path = tmp_path / "mine.csv"
    path.write_text(ROWS)
    assert digests == {read(path, columns()).digest}


def test_a_validation_file_is_read_alike(tmp_path: Path) -> None:
    """With the same settings, and said on a line of its own."""
    (tmp_path / "a.csv").write_text(GERMAN + "2,0;NA\n")
    (tmp_path / "b.csv").write_text(GERMAN.replace("0,5", "0,6") + "2,0;NA\n")
    settings = columns(missing="drop", validation=str(tmp_path / "b.csv"))
    pairs = read(tmp_path / "a.csv", settings)
    assert pairs.held_out is not None
    assert list(pairs.held_out.t_u) == [0.6, 1, 1.5]
    said = (
        "3 observations; semicolons between cells, decimal commas; 1 row without a number left out (line 5)"
    )
    assert pairs.told == [f"{tmp_path / name}: {said}" for name in ("a.csv", "b.csv")]


def test_a_part_held_out_is_counted(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("volt,celsius\n" + "".join(f"{n},{n * n}\n" for n in range(10)))
    pairs = read(tmp_path / "mine.csv", columns(validation=0.2))
    assert pairs.told == [f"{tmp_path / 'mine.csv'}: 8 observations, 2 more held out"]
