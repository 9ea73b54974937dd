"""Names come from anybody's files: they are shown as they stand, and do nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from src import compare, predict
from src.data import Pairs, load
from src.report.figures import fits
from src.settings import DataSettings
from tests.record import is_parent, recorded
from tests.terminal import on_a_terminal

Command = Callable[..., int]
EVERY = ["--experiment", "thermometer"]
PAIRS = "1,2\n2,3\n3,5\n4,4\n"


def test_a_name_is_no_markup(command: Command, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Brackets in the names of two files, which a column tells apart."""
    for name in ("[a].csv", "[bold]b.csv"):
        (folder / name).write_text(f"volt,celsius\n{PAIRS}")
    columns = ["data.input=volt", "data.target=celsius", "epochs=5"]
    assert command("-m", "data.path='[a].csv','[bold]b.csv'", *columns) == 0
    said = capfd.readouterr().out
    assert "  [bold]b.csv  " in said
    assert "  [a].csv  " in said


def test_a_name_commands_no_terminal(
    command: Command, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An escape code in a header, shown by a run and by a refusal."""
    (folder / "red.csv").write_text(f"volt,cel\x1b[31msius\n{PAIRS}")
    for column in ("cel\x1b[31msius", "celsius"):
        command("data.path=red.csv", "data.input=volt", f"data.target='{column}'", "epochs=5")
    captured = capfd.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert "cel�[31msius = " in captured.out
    assert "cel�[31msius" in captured.err


@pytest.mark.usefixtures("folder")
def test_a_name_in_a_csv_commands_no_terminal(command: Command, capfd: pytest.CaptureFixture[str]) -> None:
    """Where it is read by a program it stands as it is."""
    Path("red.csv").write_text(f"volt,cel\x1b[31msius\n{PAIRS}")
    assert command("data.path=red.csv", "data.input=volt", "data.target='cel\x1b[31msius'", "epochs=5") == 0
    capfd.readouterr()
    for step in (
        lambda: predict.command(["best", "2"]),
        lambda: compare.command([*EVERY, "--format", "csv"]),
    ):
        assert step() == 0
        assert "cel\x1b[31msius" in capfd.readouterr().out
        shown = on_a_terminal(step)
        assert "cel�[31msius" in shown
        assert "\x1b" not in shown


def test_a_name_is_no_formula(command: Command, folder: Path, client: MlflowClient) -> None:
    """In the CSV, which a spreadsheet may open; a number stays one. The record has the name as it stands."""
    (folder / "odd.csv").write_text(f"=1+1,@sum\n{PAIRS}")
    columns = ["data.path=odd.csv", "data.input='=1+1'", "data.target='@sum'"]
    assert command("-m", "lr=1e-2,1e-3", "model.start.b=-1", *columns, "epochs=5") == 0
    [parent] = [run for run in recorded(client) if is_parent(run)]
    table = pd.read_csv(client.download_artifacts(parent.info.run_id, "runs.csv"), dtype=str)
    assert set(table["data_input"]) == {"'=1+1"}
    assert set(table["data_target"]) == {"'@sum"}
    assert set(table["start_b"]) == {"-1.0"}
    assert {run.data.params["data_input"] for run in recorded(client) if not is_parent(run)} == {"=1+1"}


def test_a_figure_draws_thousands_of_pairs_at_most(tmp_path: Path) -> None:
    """Of 200,000, the extremes among them, and all of the range; of a few all."""
    x = np.random.default_rng(1).permutation(200_000) / 7
    y = np.sin(x)
    y[1234], y[77_777] = -9, 9
    pd.DataFrame({"x": x, "y": y}).to_csv(tmp_path / "many.csv", index=False)
    pairs: Pairs = load(DataSettings(path=str(tmp_path / "many.csv"), input="x", target="y"), 2, 1e300)
    drawn_x, drawn_y = fits.drawn(pairs.t_u, pairs.t_c)
    assert len(drawn_x) == len(drawn_y) <= 4000
    assert {drawn_x.min(), drawn_x.max()} == {x.min(), x.max()}
    assert {drawn_y.min(), drawn_y.max()} == {-9, 9}
    assert np.diff(np.sort(drawn_x)).max() < 20
    few = fits.drawn(x[:11], y[:11])
    assert (few[0] == x[:11]).all()
