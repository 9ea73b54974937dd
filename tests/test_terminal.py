"""What a person reads in a terminal of any width: no row wrapped, no digit lost, all of it in a pipe."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from src import compare, train
from src.report.screen_table import Column, fitting
from tests.conftest import working_folder
from tests.terminal import STYLE, on_a_terminal

ADDRESS = re.compile(r"https?://|models:/|served by")
SWEEP = ["-m", "lr=1e-2,1e-3", "normalization=none,scale,zscore", "epochs=500,5000"]  # the README's
WAYS = {
    "80 columns": (80, {}),
    "one that does not know its width": (0, {}),
    "COLUMNS": (200, {"COLUMNS": "80"}),
    "dumb": (80, {"TERM": "dumb"}),
    "NO_COLOR": (80, {"NO_COLOR": "1"}),
}


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Iterator[None]:
    """A folder with the README's sweep on record."""
    with pytest.MonkeyPatch.context() as patch:
        working_folder(tmp_path_factory.mktemp("terminal"), patch)
        shutil.copy(migrated_store, "mlflow.db")
        patch.setattr("sys.argv", ["train", *SWEEP])
        assert train.command() == 0
        yield


@pytest.fixture
def piped(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of `compare` in a pipe."""
    assert compare.command([]) == 0
    return capfd.readouterr().out.splitlines()


def shown(columns: int, environment: dict[str, str] | None = None) -> list[str]:
    """The lines of `compare` in such a terminal."""
    return STYLE.sub("", on_a_terminal(lambda: compare.command([]), columns, environment)).splitlines()


def table(lines: list[str]) -> dict[str, list[str]]:
    """The columns of a table of twelve runs, by their header."""
    header, *rows = lines[:13]
    ends = [each.end() for each in re.finditer(r"\S+", header)]
    starts = [0, *ends[:-2], header.index("outcome")]
    cuts = list(zip(starts, [*ends[:-1], None], strict=True))
    return {header[a:b].strip(): [row[a:b].strip() for row in rows] for a, b in cuts}


def test_a_pipe_has_all_columns(piped: list[str]) -> None:
    assert piped[0].split() == ["#", "lr", "epochs", "normalization", "loss", "loss_gap", "w", "b", "outcome"]
    assert len(piped) == 13 + 3 + 2, "a line for each reason, and one for each address"


@pytest.mark.parametrize("way", WAYS)
def test_eighty_columns(way: str, piped: list[str]) -> None:
    """Expected: the table in the pipe, less the parameters, which go first where all is not the same."""
    lines = shown(*WAYS[way])
    assert all(len(line) <= 80 for line in lines if not ADDRESS.search(line))
    whole, fitted = table(piped), table(lines)
    assert list(fitted) == ["#", "lr", "epochs", "normalization", "loss", "loss_gap", "outcome"]
    assert fitted == {header: whole[header] for header in fitted}
    assert lines[13] == "… not shown: w, b; see python -m src.compare --format csv"


@pytest.mark.parametrize("term", ["xterm", "dumb"])
@pytest.mark.parametrize("columns", [120, 90, 54, 53, 20])
def test_no_digit_is_lost(columns: int, term: str, piped: list[str]) -> None:
    """Fewer columns first; where not even those fit that stay, the runs in words that hold every number."""
    lines = shown(columns, {"TERM": term})
    if columns >= 54:
        whole, fitted = table(piped), table(lines)
        assert fitted == {header: whole[header] for header in fitted}
        assert {"lr", "epochs", "normalization", "outcome"} <= fitted.keys()
    else:
        told = " ".join(lines)
        for cells in table(piped).values():
            assert all(cell in told or cell.replace(" ", "") in told.replace(" ", "") for cell in cells)
    assert all(len(line) <= max(columns, 26) for line in lines if not ADDRESS.search(line))


def test_no_color_where_none_is_wanted() -> None:
    assert "\x1b[31m" in on_a_terminal(lambda: compare.command([]), 80)
    for unwanted in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        coloured = on_a_terminal(lambda: compare.command([]), 80, unwanted)
        assert not re.search(r"\x1b\[(\d+;)*3\dm", coloured)


def test_lines_below_hang(piped: list[str]) -> None:
    """Wrapped at words: put together again, they are the lines in the pipe."""
    lines = shown(80)[14:-3]
    assert all(line.startswith(("#", "    ")) for line in lines)
    assert re.sub(r"\n {4}", " ", "\n".join(lines)).splitlines() == piped[13:-2]


def test_what_is_to_be_copied_is_whole(piped: list[str]) -> None:
    *_, page, served, table = shown(80)
    assert [re.sub(r"\S+$", "", address) for address in (page, table)] == ["page         ", "table        "]
    assert re.fullmatch(r" {13}\(served by: mlflow ui --backend-store-uri sqlite:////\S+/mlflow.db\)", served)
    assert piped[-2:] == [f"{page}   {served.strip()}", table]


def test_one_run_in_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels in a column of their own; what is below a line hangs beside it."""
    monkeypatch.setattr("sys.argv", ["train", "epochs=500"])
    lines = on_a_terminal(train.command, 80).splitlines()
    block = lines[next(at for at, line in enumerate(lines) if line.startswith("calibration")) :]
    assert all(re.match(r"\S.{11} \S|\s{13}\S", line) for line in block)
    assert all(len(line) <= 80 for line in block if not ADDRESS.search(line) and "READING" not in line)
    assert any("READING …)" in line and "python -m src.predict models:/" in line for line in block)


def test_the_first_columns_to_go() -> None:
    """Those with the lowest number, together; those without one stay; where they do not fit there is none."""
    wide = [Column("#", ["1"]), Column("same", ["x"], 1), Column("w", ["1.25"], 2), Column("b", ["2"], 2)]
    headers = {width: "".join(each.header for each in fitting(wide, width)) for width in range(18)}
    assert headers[16] == headers[17] == "#samewb", "1 + 4 + 4 + 1 and three gaps of 2"
    assert headers[15] == headers[10] == "#wb"
    assert headers[9] == headers[1] == "#"
    assert headers[0] == ""
    assert fitting(wide, None) == wide
