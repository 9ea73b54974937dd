"""Files as they come, in the commands: what is said and recorded, what is predicted and found."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from src import compare
from src.report.comparison import Comparison
from src.tracking import reader
from src.tracking.selection import Selection
from src.tracking.store import existing
from tests.conftest import copy_of, train_in
from tests.record import is_parent, recorded
from tests.test_cases import CASES, GERMAN, ROWS
from tests.test_predict import Answer, Ask, ask_anywhere  # noqa: F401  (a fixture)

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
COLUMNS = ("data.input=volt", "data.target=celsius")
FLAGS = ("normalization=zscore", "lr=0.1", "epochs=500", "dtype=float64")


@pytest.fixture
def cases(folder: Path) -> Path:
    """The working directory, with the collection's files and an empty store."""
    for path in CASES.glob("*.csv"):
        shutil.copy(path, folder)
    return folder


def test_a_run_says_what_it_read(cases: Path, command: Command, capfd: Capture) -> None:
    """In its first line."""
    del cases
    assert command("data.path=semicolon-decimal-comma.csv", *COLUMNS, *FLAGS) == 0
    said = capfd.readouterr().out.splitlines()
    assert said[0] == (
        "data         semicolon-decimal-comma.csv: 3 observations; semicolons between cells, decimal commas"
    )
    assert "calibration  celsius = 21 * volt - 0.666667" in said


@pytest.mark.parametrize("launcher", ["batch", pytest.param("basic", marks=pytest.mark.slow)])
def test_a_sweep_says_it_once(launcher: str, cases: Path, command: Command, capfd: Capture) -> None:
    """A line for each of three files, and a count of the rest where all jobs are at hand."""
    del cases
    files = "data.path=tab.csv,units-row.csv,comments.csv,semicolon.csv"
    assert command("-m", files, "lr=0.1,0.2", *COLUMNS, "epochs=3", f"hydra/launcher={launcher}") == 0
    said = [line for line in capfd.readouterr().out.splitlines() if line.startswith(("data  ", "      …"))]
    assert said[:3] == [
        "data         tab.csv: 3 observations; tabs between cells",
        "data         units-row.csv: 3 observations; units (V, degC) from line 2",
        "data         comments.csv: 3 observations; 2 comment lines",
    ]
    assert len(said) == (3 if launcher == "batch" else 4)


def test_how_it_was_read_is_on_record(cases: Path, command: Command, client: MlflowClient) -> None:
    """Where it was given, and there alone: what reads the data again reads them so."""
    (cases / "mine.csv").write_text("bench 3\n1,500;10\n2,000;20\nx;y\n2,500;31\n9,000;-9999\n")
    given = {
        "data.decimal": "comma", "data.delimiter": "semicolon", "data.header": "none", "data.missing": "drop",
        "data.where": "'column:2 > 0'",
    }  # fmt: skip
    flags = [f"{key}={value}" for key, value in given.items()]
    columns = ("data.input=column:1", "data.target=column:2")
    assert command("data.path=mine.csv", *columns, *flags, *FLAGS) == 0
    [run] = recorded(client)
    params = {key: value for key, value in run.data.params.items() if key.startswith("data_")}
    expected = {key.replace(".", "_"): value.strip("'") for key, value in given.items()}
    assert params == expected | {"data_input": "column:1", "data_target": "column:2"}
    for words in flags:
        assert words in run.data.tags["overrides"]
    store = existing("thermometer")
    again = Comparison(store, "", reader.runs(store, Selection())).pairs
    assert again is not None
    assert list(again.t_u) == [1.5, 2, 2.5]
    assert list(again.lines) == [2, 3, 5]


def test_a_sweep_repeats_how_it_read(
    cases: Path, command: Command, client: MlflowClient, tmp_path: Path
) -> None:
    """Its `sweep.yaml` holds the settings; nothing that was not given is on record."""
    (cases / "mine.csv").write_text(GERMAN.replace("0,5", "0,500"))
    line = ("data.path=mine.csv", *COLUMNS, "data.decimal=comma", "epochs=3")
    assert command("-m", "lr=0.1,0.2", *line) == 0
    [parent] = [run for run in recorded(client) if is_parent(run)]
    target = tmp_path / "again"
    target.mkdir()
    client.download_artifacts(parent.info.run_id, "sweep.yaml", str(target))
    assert command("--config-dir", str(target), "--config-name", "sweep") == 0
    runs = [run for run in recorded(client) if not is_parent(run)]
    assert len(runs) == 4
    assert {run.data.params["data_decimal"] for run in runs} == {"comma"}
    assert len({run.data.tags["fingerprint"] for run in runs}) == 2
    assert not any("data_thousands" in run.data.params for run in runs)


def test_units_of_the_file_are_on_record(cases: Path, command: Command, client: MlflowClient) -> None:
    """In the run's dataset, as those that are given."""
    del cases
    assert command("data.path=units-row.csv", *COLUMNS, *FLAGS) == 0
    [run] = recorded(client)
    profile = json.loads(run.inputs.dataset_inputs[0].dataset.profile)
    assert (profile["input"]["unit"], profile["target"]["unit"]) == ("V", "degC")


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Path:
    """A folder with the line `celsius = 21 * volt - 2/3`."""
    place = tmp_path_factory.mktemp("calibrated")
    shutil.copy(CASES / "tab.csv", place)
    train_in(place, migrated_store, ("data.path=tab.csv", *COLUMNS, *FLAGS))
    return place


@pytest.fixture
def ask(ask_anywhere: Ask, cases: Path, calibrated: Path) -> Ask:  # noqa: F811
    """`predict` by that line."""
    copy_of(calibrated, cases)
    return ask_anywhere


def answers(answer: Answer, column: str = "celsius") -> list[float | None]:
    return [float(row[column]) if row[column] else None for row in answer.rows]


def line(*readings: float | None) -> list[object]:
    return [None if each is None else pytest.approx(21 * each - 2 / 3, abs=1e-5) for each in readings]


def test_predict_reads_alike(ask: Ask) -> None:
    """What the cells hold is kept as it is."""
    answer = ask("best", stdin=GERMAN.replace("celsius", "when").encode())
    assert answers(answer) == line(0.5, 1, 1.5)
    assert [row["volt"] for row in answer.rows] == ["0,5", "1,0", "1,5"]
    assert answer.err == "standard input: semicolons between cells, decimal commas\n"
    refused = ask("best", stdin=b"volt;x\n1,500;1\n2,500;2\n")
    assert refused.code == 2
    assert "give --decimal comma or --thousands comma" in refused.err
    assert answers(ask("best", "--decimal", "comma", stdin=b"volt;x\n1,500;1\n2,500;2\n")) == line(1.5, 2.5)
    wrong = ask("best", "1", "--decimal", "x", "--header", "0")
    assert "--decimal x is not allowed: give point or comma" in wrong.err
    assert "--header 0 is not allowed" in wrong.err


def test_gaps_keep_their_place(ask: Ask) -> None:
    """A word for nothing, an empty cell, a row of empty cells, an overload; an empty line is no row."""
    answer = ask("best", "--csv", "predict-gaps.csv")
    assert answers(answer) == line(0.5, None, None, 1.5)
    assert "warning: 2 of 4 rows have no volt, and no answer" in answer.err
    assert answers(ask("best", stdin=b"volt,x\n0.5,1\n,\n\n1.5,2\n")) == line(0.5, None, 1.5)
    assert answers(ask("best", stdin=b"x,volt,y\n,0.5,\n,,\n")) == line(0.5, None)
    over = ask("best", stdin=b"volt,x\n0.5,1\n9.9E37,2\n")
    assert answers(over) == line(0.5, None)
    assert "line 3, column volt: 9.9E37 is an instrument's overload code" in over.err


def test_quotes_around_rows_are_refused(ask: Ask) -> None:
    refused = ask("best", "--csv", "quote-predict.csv")
    assert refused.code == 2
    assert "lines 2 to 4: a quoted cell holds what looks like rows" in refused.err
    assert answers(ask("best", "--csv", "quote-predict.csv", "--quote", "none")) == line(0.5, 1, 1.5, 2)


def test_a_name_that_is_a_number(ask: Ask, command: Command, cases: Path) -> None:
    """A single column that begins with the column's name, and could be readings alone, is asked about."""
    (cases / "years.csv").write_text(ROWS.replace("volt", "2024"))
    columns = ("data.path=years.csv", "data.input=2024", "data.target=celsius")
    assert command(*columns, *FLAGS, "tracking.experiment=years") == 0
    how = ("best", "--experiment", "years")
    refused = ask(*how, stdin=b"2024\n1\n")
    assert refused.code == 2
    assert "2024 is the name of a column, and a number: give --header 1 or --header none" in refused.err
    assert answers(ask(*how, "--header", "1", stdin=b"2024\n1\n")) == line(1)
    assert answers(ask(*how, stdin=b"1.5\n1\n")) == line(1.5, 1)


def test_pairs_are_verified(ask: Ask) -> None:
    """21 * 0.5 - 2/3 is 9.8333 and 21 * 1.5 - 2/3 is 30.8333, where 14.1 and 21.8 are given."""
    answer = ask("best", "--csv", "verify.csv")
    off = [14.1 - 59 / 6, 21.8 - 185 / 6]
    assert answers(answer, "deviation") == pytest.approx(off, abs=1e-5)
    rms = ((off[0] ** 2 + off[1] ** 2) / 2) ** 0.5
    assert f"2 rows checked: the root mean square of the deviations is {rms:.4g}" in answer.err


def test_milliseconds_lose_no_digit(cases: Path, ask_anywhere: Ask, command: Command) -> None:  # noqa: F811
    """Between the first two rows of a drift: half of 15 s."""
    del cases
    how = ("normalization=minmax", "lr=0.5", "epochs=2000", "dtype=float64")
    assert command("data.path=drift-ms.csv", "data.input=unix_ms", "data.target=offset", *how) == 0
    [row] = ask_anywhere("best", "--inverse", "-0.45").rows
    assert float(row["unix_ms"]) == pytest.approx(1700000007500, abs=1)


def test_two_readings_of_a_vertex(cases: Path, ask_anywhere: Ask, command: Command) -> None:  # noqa: F811
    """(counts - 4)² + 3 is 12 at 1 and at 7."""
    del cases
    how = ("model=quadratic", "normalization=minmax", "lr=auto", "epochs=2000", "dtype=float64")
    assert command("data.path=vertex.csv", "data.input=counts", "data.target=distance", *how) == 0
    [row] = ask_anywhere("best", "--inverse", "12").rows
    assert row["counts"] == ""
    assert "are both within the range" in row["remark"]


@pytest.mark.parametrize(
    ("name", "input", "words"),
    [
        ("saturated", "counts", ["1023", "end of the instrument's range"]),
        ("stuck", "volt", ["may not depend on volt at all"]),
        ("sentinel", "volt", ["line 5"]),
    ],
)
def test_what_speaks_against_a_fit(
    name: str, input: str, words: list[str], cases: Path, command: Command, capfd: Capture
) -> None:
    del cases
    assert command(f"data.path={name}.csv", f"data.input={input}", "data.target=celsius", *FLAGS) == 0
    [caution] = [each for each in capfd.readouterr().out.splitlines() if each.startswith("caution")]
    for each in words:
        assert each in caution


def test_names_stand_on_one_line(cases: Path, command: Command, capfd: Capture) -> None:
    """Of a header whose cells have line breaks, in a run and where runs are compared."""
    columns = ("data.input='Output (V)'", "data.target='Ref (°C)'")
    assert command("data.path=newline-header.csv", *columns, *FLAGS) == 0
    assert "calibration  Ref (°C) = 21 * Output (V) - 0.666667" in capfd.readouterr().out.splitlines()
    (cases / "tidy.csv").write_text(ROWS.replace("volt,celsius", "Output (V),Ref (°C)").replace("31", "30"))
    assert command("data.path=tidy.csv", *columns, *FLAGS) == 0
    capfd.readouterr()
    assert compare.command(["--experiment", "thermometer"]) == 0
    assert "newline-header.csv, Output (V) to Ref (°C), data digest" in capfd.readouterr().out
