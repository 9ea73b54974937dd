"""`python -m src.predict`: what it prints, and twenty-odd ways to use it wrongly."""

import csv
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from mlflow import MlflowClient

from src import predict, train
from src.tracking import model, reader
from src.tracking.store import existing
from tests.conftest import working_folder
from tests.record import is_parent, recorded
from tests.test_intervals import T_C
from tests.test_intervals import T_U as READINGS

# The chapter's readings, and its calibration: w, b = 5.3671, -17.3012 on 0.1 * t_u
T_U = ("35.7", "55.9", "58.2", "81.9", "56.3", "48.9", "33.9", "21.8", "48.4", "60.4", "68.4")
EXPERIMENT = ("--experiment", "book")
KNOWN = ["uncertainty", "lower", "upper", "in_range", "remark"]  # of an answer


def by_the_chapter(t_u: float) -> float:
    return 5.3671 * (0.1 * t_u) - 17.3012


class Trained(NamedTuple):
    """A store with runs of every kind, and the ids of some."""

    store: Path
    book: str
    stopped: str
    diverged: str
    parent: str


def client_of(store: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{store}")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Iterator[Trained]:
    """The chapter's run in an experiment of its own, registered, and a sweep in the default one."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copy(migrated_store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        working_folder(folder, patch)
        for line in (
            "+experiment=book tracking.experiment=book",
            "-m normalization=none,scale,zscore epochs=500",
            "model=quadratic normalization=zscore lr=0.1 epochs=500 tracking.experiment=parabola",
            "-m lr=1,10 epochs=50 tracking.experiment=hopeless",
        ):
            patch.setattr(sys, "argv", ["src/train.py", *line.split()])
            assert train.command() == 0
        client = client_of(folder / "mlflow.db")
        client.create_experiment("empty")
        runs = recorded(client)
        [book] = [run.info.run_id for run in runs if run.data.params.get("epochs") == "5000"]
        [diverged] = [run.info.run_id for run in runs if run.data.params.get("normalization") == "none"]
        [stopped] = [
            run.info.run_id
            for run in runs
            if (run.data.params.get("normalization"), run.data.params.get("epochs")) == ("scale", "500")
        ]
        parent = next(run.info.run_id for run in runs if is_parent(run))
        store = existing()
        model.log(store, reader.get(store, book), register="thermometer")
        client.set_registered_model_alias("thermometer", "book", "1")
        yield Trained(folder / "mlflow.db", book, stopped, diverged, parent)


class Answer(NamedTuple):
    """What a call of the command came to."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, str]]:
        assert self.code == 0, self.err
        return list(csv.DictReader(io.StringIO(self.out)))


Ask = Callable[..., Answer]


@pytest.fixture
def ask_anywhere(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Ask:
    """`python -m src.predict ARGS` in this process, in a folder without a store."""
    del empty_folder

    def run(*args: str, stdin: bytes = b"") -> Answer:
        capfd.readouterr()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = predict.command(list(args))
        out, err = capfd.readouterr()
        return Answer(code, out, re.sub(r"^best: .*\n", "", err))

    return run


@pytest.fixture
def ask(ask_anywhere: Ask, empty_folder: Path, trained: Trained) -> Ask:
    """The same in a folder with the trained store."""
    shutil.copy(trained.store, empty_folder / "mlflow.db")
    return ask_anywhere


def numbers(answer: Answer, column: str) -> list[float]:
    return [float(row[column]) for row in answer.rows]


def test_the_chapters_readings_give_the_chapters_temperatures(ask: Ask, trained: Trained) -> None:
    answer = ask("best", *EXPERIMENT, *T_U)
    assert answer.err == ""
    readings = [float(reading) for reading in T_U]
    assert numbers(answer, "t_c") == pytest.approx([by_the_chapter(t_u) for t_u in readings], abs=1e-3)
    metrics = client_of(trained.store).get_run(trained.book).data.metrics
    on_record = [metrics["w"] * t_u + metrics["b"] for t_u in readings]
    assert numbers(answer, "t_c") == pytest.approx(on_record, rel=1e-9)
    assert answer.out.splitlines()[0] == "t_u,t_c,uncertainty,lower,upper,in_range,remark"
    assert [row["t_u"] for row in answer.rows] == list(T_U)
    assert {row["in_range"] for row in answer.rows} == {"true"}


def test_however_readings_and_run_are_given_the_answer_is_the_same(ask: Ask, trained: Trained) -> None:
    answer = ask("best", *EXPERIMENT, *T_U)
    lines = "".join(f"{reading}\n" for reading in T_U).encode()
    Path("new.csv").write_bytes(b"t_u\n" + lines)
    assert ask("best", *EXPERIMENT, stdin=lines) == answer
    assert ask("best", *EXPERIMENT, stdin=b"t_u\r\n" + lines.replace(b"\n", b"\r\n") + b"\r\n") == answer
    assert ask("--csv", "new.csv", "best", *EXPERIMENT) == answer
    assert ask(trained.book, *T_U) == answer
    for address in ("models:/thermometer/1", "models:/thermometer@book", "models:/thermometer"):
        assert ask(address, *T_U) == answer


def test_there_and_back(ask: Ask) -> None:
    there = ask("best", *EXPERIMENT, *T_U)
    back = ask("best", "--inverse", *EXPERIMENT, *(row["t_c"] for row in there.rows))
    assert back.out.splitlines()[0] == "t_c,t_u,uncertainty,lower,upper,in_range,remark"
    assert numbers(back, "t_u") == pytest.approx([float(reading) for reading in T_U], rel=1e-9)
    assert {row["in_range"] for row in back.rows} == {"true"}, "the least and the largest reading too"


@pytest.mark.parametrize("which", ["best", "models:/thermometer/1"])
def test_a_column_of_true_values_is_known_by_its_name(ask: Ask, which: str) -> None:
    experiment = EXPERIMENT if which == "best" else ()
    by_name = ask(which, *experiment, stdin=b"t_c\n14\n")
    assert by_name == ask(which, *experiment, "--inverse", "14")
    assert numbers(by_name, "t_u") == pytest.approx([(14 + 17.3012) / 0.53671], abs=1e-3)


def test_the_other_columns_of_a_csv_are_kept_as_they_are(ask: Ask) -> None:
    Path("new.csv").write_text(
        'when,t_u,"note, if any",predicted\n007,35.70,"a, ""b""",1e3\n\n,-1E1, NA ,é\n',
        encoding="utf-8-sig",
    )
    answer = ask("best", *EXPERIMENT, "--csv", "new.csv")
    header, *rows = list(csv.reader(io.StringIO(answer.out)))
    assert header == ["when", "t_u", "note, if any", "predicted", "t_c", *KNOWN]
    assert [row[:4] for row in rows] == [["007", "35.70", 'a, "b"', "1e3"], ["", "-1E1", "NA ", "é"]]
    assert [float(row[4]) for row in rows] == pytest.approx(
        [by_the_chapter(35.7), by_the_chapter(-10)], abs=1e-3
    )
    assert [row[8] for row in rows] == ["true", "false"]


def test_blanks_around_names_and_numbers_do_not_matter(ask: Ask) -> None:
    answer = ask("best", *EXPERIMENT, stdin=b" x , t_u \n a, 35.7 \n")
    assert list(answer.rows[0]) == ["x", "t_u", "t_c", *KNOWN]
    assert numbers(answer, "t_c") == pytest.approx([by_the_chapter(35.7)], abs=1e-3)


def test_a_header_alone_gives_a_header(ask: Ask) -> None:
    assert ask("best", *EXPERIMENT, stdin=b"x,t_u\n") == (0, f"x,t_u,t_c,{','.join(KNOWN)}\n", "")


@pytest.mark.parametrize("which", ["best", "models:/thermometer"])
def test_extrapolation_is_told_in_a_line(ask: Ask, which: str) -> None:
    experiment = EXPERIMENT if which == "best" else ()
    answer = ask(which, *experiment, "21.8", "81.9", "0", "-4", "40")
    assert (
        answer.err
        == "warning: 2 of 5 readings are outside the calibrated range, 21.8 to 81.9: extrapolated\n"
    )
    assert [row["in_range"] for row in answer.rows] == ["true", "true", "false", "false", "true"]


def test_numbers_below_zero_are_numbers_in_every_place(ask: Ask) -> None:
    answer = ask("best", *EXPERIMENT, "-4", "--inverse", "-1e0", "-.5", "+3")
    assert [row["t_c"] for row in answer.rows] == ["-4", "-1e0", "-.5", "+3"]


def test_a_parabola_has_no_reading_for_a_temperature_beyond_its_vertex(ask: Ask, trained: Trained) -> None:
    there = ask("best", "--experiment", "parabola", "21.8", "50", "81.9")
    values = [row["t_c"] for row in there.rows]
    back = ask("best", "--experiment", "parabola", "--inverse", *values)
    assert numbers(back, "t_u") == pytest.approx([21.8, 50, 81.9], rel=1e-6)
    [run] = recorded(client_of(trained.store), "params.model = 'quadratic'")
    beyond = "-1e9" if run.data.metrics["w2"] > 0 else "1e9"
    nowhere = ask("best", "--experiment", "parabola", "--inverse", "5", beyond)
    assert nowhere.err == "warning: 1 of 2 values of t_c have no t_u\n"
    why = "no reading: the curve does not take this value on its branch through the range"
    nothing = dict.fromkeys(["t_u", *KNOWN], "")
    assert nowhere.rows[1] == nothing | {"t_c": beyond, "in_range": "false", "remark": why}


def test_what_is_known_of_an_answer(ask: Ask) -> None:
    """Of the chapter's line at 35.7: a new reading's, the curve's, the mean of three; by mpmath.

    0.01 is what a run that has converged may be off.
    """
    new, curve = "2.05691701668265", "0.807882502582846"
    [row] = ask("best", *EXPERIMENT, "35.7").rows
    assert float(row["uncertainty"]) == pytest.approx(float(new), rel=1e-9)
    assert float(row["lower"]) == pytest.approx(-2.79509749, abs=0.01)
    assert float(row["upper"]) == pytest.approx(6.51104164, abs=0.01)
    [row] = ask("best", *EXPERIMENT, "35.7", "--curve").rows
    assert float(row["uncertainty"]) == pytest.approx(float(curve), rel=1e-9)
    [row] = ask("best", *EXPERIMENT, "--inverse", "10", "--replicates", "3").rows
    assert float(row["lower"]) == pytest.approx(45.5934807, abs=0.01)
    assert float(row["upper"]) == pytest.approx(56.1007813, abs=0.01)


@pytest.mark.parametrize("options", ["--coverage .5", "--curve", "--replicates 4", "--sigma 0.5"])
def test_a_logged_model_answers_as_its_run(options: str, ask: Ask, trained: Trained) -> None:
    answers = [
        ask(which, "--inverse", *options.split(), "0", "10", "99")
        for which in (trained.book, "models:/thermometer/1")
    ]
    assert answers[0] == answers[1]
    assert answers[0] != ask(trained.book, "--inverse", "0", "10", "99")


def test_no_uncertainty_on_record_is_told(ask: Ask, trained: Trained) -> None:
    """A run that is not trained enough has none: values as ever, and a line."""
    answer = ask(trained.stopped, "35.7")
    assert answer.err == "warning: this calibration has no uncertainty on record, and its answers have none\n"
    [row] = answer.rows
    assert float(row.pop("t_c")) == pytest.approx(0.404432 * 35.7 - 9.81327, abs=1e-4)
    assert row == dict.fromkeys(KNOWN, "") | {"t_u": "35.7", "in_range": "true"}


def test_pairs_are_checked(ask: Ask) -> None:
    """The chapter's own: their deviations are its residuals, whose mean square is its loss, 2.9276.

    None is outside its 95 % interval; of the 50 % one, 0.70 standard uncertainties, 6 are (numpy).
    """
    pairs = "".join(f"{t_c:g},{t_u:g}\n" for t_u, t_c in zip(READINGS, T_C, strict=True))
    answer = ask("best", *EXPERIMENT, stdin=f"t_c,t_u\n{pairs}".encode())
    assert list(answer.rows[0]) == [
        "t_c", "t_u", "predicted", "uncertainty", "lower", "upper", "deviation", "in_range", "remark"
    ]  # fmt: skip
    predicted = [by_the_chapter(t_u) for t_u in READINGS]
    assert numbers(answer, "predicted") == pytest.approx(predicted, abs=1e-3)
    assert numbers(answer, "deviation") == pytest.approx(T_C - predicted, abs=1e-3)
    said = "11 rows checked: the root mean square of the deviations is 1.711; "
    assert answer.err == f"{said}0 of 11 outside the 95 % interval\n"
    narrow = ask("best", *EXPERIMENT, "--coverage", "0.5", stdin=f"t_c,t_u\n{pairs}".encode())
    assert narrow.err == f"{said}6 of 11 outside the 50 % interval\n"


def test_a_check_without_intervals(ask: Ask, trained: Trained) -> None:
    """Deviations need no uncertainty."""
    answer = ask(trained.stopped, stdin=b"t_u,t_c\n35.7,4.5\n55.9,14\n")
    assert re.search(r"^2 rows checked: the root mean square of the deviations is 0\.8\d+$", answer.err, re.M)


@pytest.mark.parametrize("which", ["best", "models:/thermometer"])
def test_a_row_without_a_reading_keeps_its_place(which: str, ask: Ask) -> None:
    experiment = EXPERIMENT if which == "best" else ()
    answer = ask(which, *experiment, stdin=b'x,t_u\na,\nb,35.7\nc," "\n')
    assert answer.err == "warning: 2 of 3 rows have no t_u, and no answer\n"
    assert [row["x"] for row in answer.rows] == ["a", "b", "c"]
    assert answer.out.splitlines()[1] == "a,,,,,,,"
    assert float(answer.rows[1]["t_c"]) == pytest.approx(by_the_chapter(35.7), abs=1e-3)


def test_a_pair_without_a_half(ask: Ask) -> None:
    """Without a reading nothing is predicted; without a true value nothing is checked."""
    answer = ask("best", *EXPERIMENT, stdin=b"t_u,t_c\n,14\n35.7,\n55.9,14\n")
    first, second, third = answer.rows
    assert set(list(first.values())[2:]) == {""}
    assert (second["predicted"] != "", second["deviation"]) == (True, "")
    assert float(third["deviation"]) == pytest.approx(14 - by_the_chapter(55.9), abs=1e-3)
    assert "\n1 row checked: " in answer.err


def test_as_right_as_the_other(ask: Ask, command: Callable[..., int], empty_folder: Path) -> None:
    """`(t_u - 4)**2`: 9 is at 1 and at 7."""
    rows = "".join(f"{t_u},{(t_u - 4) ** 2}\n" for t_u in range(11))
    (empty_folder / "bent.csv").write_text(f"volt,square\n{rows}")
    how = ["model=quadratic", "normalization=minmax", "lr=auto", "epochs=2000", "tracking.experiment=bent"]
    columns = ["data.path=bent.csv", "data.input=volt", "data.target=square"]
    assert command(*how, *columns) == 0
    [row] = ask("best", "--experiment", "bent", "--inverse", "9").rows
    assert (row["volt"], row["lower"], row["in_range"]) == ("", "", "false")
    assert re.fullmatch(
        r"no reading: (1|1\.0\d+|0\.9\d+) and (7|7\.0\d+|6\.9\d+) are both within the range", row["remark"]
    )


def test_best_is_the_first_of_the_experiments_ranking(
    ask: Ask, empty_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of two on one best fit: one has converged, or both are stopped and the nearer one is better."""
    client = client_of(empty_folder / "mlflow.db")
    experiment = client.get_experiment_by_name("thermometer")
    found = client.search_runs([experiment.experiment_id])
    runs = [run for run in found if "loss_gap" in run.data.metrics and not is_parent(run)]
    assert len(runs) == 2
    best = min(runs, key=lambda run: run.data.metrics["loss_gap"])
    assert ask("best", *T_U) == ask(best.info.run_id, *T_U)
    assert ask("best", *T_U) != ask("best", *EXPERIMENT, *T_U)
    capfd.readouterr()
    assert predict.command(["best", "50"]) == 0
    assert capfd.readouterr().err.startswith(f"best: {best.info.run_name}, run {best.info.run_id}\n")
    client.set_terminated(best.info.run_id, "KILLED")
    [other] = [run.info.run_id for run in runs if run is not best]
    assert ask("best", *T_U) == ask(other, *T_U)


def test_best_of_several_calibrations_is_asked_back(ask: Ask, command: Callable[..., int]) -> None:
    """The smallest gap of one data set says nothing about another's."""
    assert command("data=norris", "normalization=zscore", "lr=0.5", "epochs=50") == 0
    answer = ask("best", "35.7")
    assert answer.code == 2
    assert "best of which? There are runs on data/" in answer.err
    assert "tracking.experiment=NAME" in answer.err


def test_best_of_several_models(ask: Ask, command: Callable[..., int]) -> None:
    """The thermometer calls for a line: its AICc is 21.2; the parabola's is 22.8 (mpmath), for less loss."""
    assert command("-m", "model=linear,quadratic", "normalization=zscore", "lr=0.2", "epochs=3000") == 0
    [line] = ask("best", "21.8").rows
    assert float(line["t_c"]) == pytest.approx(by_the_chapter(21.8), abs=0.01)


def test_best_of_several_losses(
    command: Callable[..., int], client: MlflowClient, capfd: pytest.CaptureFixture[str]
) -> None:
    """What table, description, registration and prediction take is one run, and all say under which loss."""
    how = ["normalization=zscore", "lr=0.2", "epochs=10,500", "register=t"]
    assert command("-m", "loss=huber,mse", *how) == 0
    losses = "mse, huber loss_delta=1.0"
    assert (
        f"losses under {losses} cannot be compared: the best is the best under mse" in capfd.readouterr().out
    )
    [version] = client.search_model_versions("name = 't'")
    run = client.get_run(version.run_id)
    assert (run.data.params["loss"], run.data.tags["outcome"]) == ("mse", "converged")
    assert predict.command(["best", "50"]) == 0
    told = (
        f"run {run.info.run_id}; under mse, which cannot be compared with losses under huber loss_delta=1.0"
    )
    assert told in capfd.readouterr().err


def test_nothing_is_left_behind(ask: Ask, empty_folder: Path) -> None:
    before = (empty_folder / "mlflow.db").read_bytes()
    assert ask("best", *T_U).code == 0
    assert ask("models:/thermometer", *T_U).code == 0
    assert {path.name for path in empty_folder.iterdir()} == {"data", "mlflow.db"}
    assert (empty_folder / "mlflow.db").read_bytes() == before


# What is wrong whatever the store holds: the arguments and standard input -> what the answer must name
WITHOUT_A_STORE = {
    "": ["'' is no calibration", "best", "models:/NAME/VERSION"],
    "35.7": ["'35.7' is no calibration", "best"],
    "-4": ["'-4' is no calibration"],
    "worst 1": ["worst", "best"],
    "0123abc 1": ["0123abc", "32 digits"],
    "models:/ 1": ["'models:/' is no calibration", "models:/NAME/VERSION"],
    "models:/a/b 1": ["models:/a/b", "models:/NAME/VERSION"],
    "models:/a@b/1 1": ["models:/a@b/1"],
    "best abc": ["abc", "not a finite number", "--csv FILE"],
    "best new.csv": ["new.csv", "--csv FILE"],
    "best 1,5 x 2": ["1,5, x:", "not a finite number"],
    "best nan inf": ["nan, inf", "not a finite number"],
    "best -nan": ["-nan", "--help"],
    "best -inf": ["-inf", "not a finite number"],
    "best 1e400": ["1e400", "not a finite number"],
    "best 1 --csv mine.csv": ["exclude each other"],
    "worst x --csv mine.csv --experiment y": ["worst", "x: not", "exclude", "--experiment"],
    "models:/a --experiment b 1": ["--experiment", "best"],
    "best --csv": ["--csv", "expected one argument"],
    "best --csv nope.csv": ["--csv nope.csv", "no such file"],
    "best --csv data": ["--csv data", "is a folder"],
    "best --colour 1": ["--colour", "--help"],
    "best --inv 1": ["--inv"],
    "best 1 --coverage 95 --replicates 0 --sigma x": ["coverage 95", "replicates 0", "sigma x"],
    "worst 1 --curve --replicates 2": ["worst", "curve is the curve itself"],
    "best 1 --coverage": ["--coverage", "expected one argument"],
}  # fmt: skip

INPUTS = {
    # standard input -> what the answer must name; those above the line without a store
    b"": ["standard input is empty"],
    b"\n\n": ["standard input is empty"],
    b"\xff\xfe1": ["standard input is not utf-16", "--encoding"],
    b"t_u,x\n1,2,3\n1,2\n": ["line 2: 3 cells", "header names 2"],
    b"1\n2,3\n": ["line 2: 2 cells"],
    # ---
    b"x,y\n1,2\n": ["no column t_u or t_c", "x, y"],
    b"35.7 55.9\n": ["no column t_u or t_c", "35.7 55.9"],
    b"1,2\n3,4\n": ["line 1 is numbers", "--header none"],
    b"y;x\n1;2\n": ["no column", "y, x"],
    b"t_u,t_u\n1,2\n": ["2 columns are called t_u"],
    b"t_u,in_range\n1,2\n": ["in_range would be there twice", "rename"],
    b"t_c,lower,t_u,predicted\n1,2,3,4\n": ["lower and predicted would be there twice"],
    b"t_u,t_c,t_c\n1,2,3\n": ["2 columns are called t_c"],
    b"t_u,t_c\nx,2\n1,y\n": ["line 2, column t_u: 'x'", "line 3, column t_c: 'y'"],
    b"t_u\n1\nabc\n\n,\n": ["line 3, column t_u: 'abc'"],
    b"x,t_u\na,1\nb,abc\n\nc,\nd,nan\ne,1e400\n": [
        "line 3, column t_u: 'abc'", "line 7, column t_u: 1e400",
    ],
    b"1\n\nabc\n": ["line 3, column t_u: 'abc' is not a number"],
    b"t_u\n" + b"x\n" * 50: ["line 2, column t_u: 'x'", "(so too line 3: 'x', line 4: 'x' and 47 more)"],
}  # fmt: skip


def assert_refused(answer: Answer, folder: Path, named: list[str], kept: set[str]) -> None:
    assert answer.code == 2
    assert answer.out == ""
    assert len(answer.err.splitlines()) == 1
    assert answer.err.startswith("error: ")
    for words in named:
        assert words in answer.err
    assert {path.name for path in folder.iterdir()} == {"data"} | kept, "something was created"


@pytest.mark.parametrize("line", WITHOUT_A_STORE)
def test_a_wrong_command_line(line: str, ask_anywhere: Ask, empty_folder: Path) -> None:
    assert_refused(ask_anywhere(*line.split()), empty_folder, WITHOUT_A_STORE[line], set())


@pytest.mark.parametrize("content", INPUTS, ids=repr)
def test_a_wrong_input(content: bytes, ask: Ask, empty_folder: Path) -> None:
    assert_refused(ask("best", stdin=content), empty_folder, INPUTS[content], {"mlflow.db"})


def test_a_wrong_file_is_called_by_its_name(ask: Ask, empty_folder: Path) -> None:
    (empty_folder / "mine.csv").write_text("t_u\n1\nx\n")
    answer = ask("best", "--csv", "mine.csv")
    assert_refused(answer, empty_folder, ["mine.csv: line 3, column t_u"], {"mlflow.db", "mine.csv"})


def test_readings_where_true_values_are_announced(ask: Ask, empty_folder: Path) -> None:
    answer = ask("best", "--inverse", stdin=b"t_u\n1\n")
    assert_refused(answer, empty_folder, ["no column t_c", "there is t_u"], {"mlflow.db"})


def test_a_terminal_is_not_waited_for(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", terminal)
    answer = Answer(predict.command(["best"]), *capfd.readouterr())
    assert_refused(answer, empty_folder, ["--csv FILE", "standard input"], set())


@pytest.mark.parametrize("which", ["best", "0" * 32, "models:/thermometer/1"])
def test_no_store_is_said_and_none_is_made(which: str, ask_anywhere: Ask, empty_folder: Path) -> None:
    assert_refused(ask_anywhere(which, "1"), empty_folder, ["mlflow.db", "python -m src.train"], set())


NOT_THERE = {
    # the command line -> what the answer must name
    "best 1 --experiment nope": ["no experiment nope", "thermometer"],
    "best 1 --experiment empty": ["no run of the experiment empty", "python -m src.train"],
    "best 1 --experiment hopeless": ["no run of the experiment hopeless"],
    "models:/nope 1": ["models:/nope cannot be loaded", "nope not found", "thermometer"],
    "models:/thermometer/7 1": ["models:/thermometer/7", "not found", "thermometer"],
    "models:/thermometer@nope 1": ["models:/thermometer@nope", "alias nope not found"],
    f"models:/m-{'0' * 32} 1": ["not found"],
    f"{'0' * 32} 1": ["there is no run 000"],
}  # fmt: skip


@pytest.mark.parametrize("line", NOT_THERE)
def test_what_is_not_in_the_store(line: str, ask: Ask, empty_folder: Path) -> None:
    assert_refused(ask(*line.split()), empty_folder, NOT_THERE[line], {"mlflow.db"})


def test_a_diverged_run_says_why_it_is_of_no_use(ask: Ask, trained: Trained, empty_folder: Path) -> None:
    named = [trained.diverged, "diverged and has no calibration", "29 times the limit", "another run"]
    assert_refused(ask(trained.diverged, "1"), empty_folder, named, {"mlflow.db"})


def test_a_sweeps_parent_is_no_training_run(ask: Ask, trained: Trained, empty_folder: Path) -> None:
    assert_refused(ask(trained.parent, "1"), empty_folder, ["is the parent of a sweep"], {"mlflow.db"})


LIGHT = """
import sys
from src import predict
assert predict.command({arguments}) == {code}
heavy = {heavy} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "heavy"),
    [
        (["best", "abc"], 2, {"torch", "mlflow", "pandas", "matplotlib", "hydra"}),
        (["best", "--csv", "nope.csv"], 2, {"torch", "mlflow"}),
        (["best", "35.7"], 0, {"torch", "matplotlib", "hydra"}),
    ],
)
def test_a_mistake_answers_before_mlflow_is_imported_and_torch_never_is(
    arguments: list[str], code: int, heavy: set[str], ask: Ask, empty_folder: Path
) -> None:
    del ask  # its folder has a store
    text = LIGHT.format(arguments=arguments, code=code, heavy=heavy)
    subprocess.run([sys.executable, "-c", text], check=True, cwd=empty_folder)


@pytest.mark.slow
def test_whoever_has_read_enough_may_leave(ask: Ask, empty_folder: Path) -> None:
    """`python -m src.predict ... | head -1`, with more to write than a pipe holds."""
    del ask
    readings = "\n".join(map(str, range(20_000)))
    process = subprocess.Popen(
        [sys.executable, "-m", "src.predict", "best"],
        cwd=empty_folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(readings)
    process.stdin.close()
    assert process.stdout.readline() == "t_u,t_c,uncertainty,lower,upper,in_range,remark\n"
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 0
