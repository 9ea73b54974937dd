"""`repeat=RUN`: a run trained again from its record alone is the same to the bit, and what is not is told."""

import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.record import is_parent, recorded

Command = Callable[..., int]

KINDS = [
    ("model=linear", "loss=mse", "dtype=float32", "normalization=scale"),
    ("model=quadratic", "loss=huber", "dtype=float64", "normalization=zscore"),
    ("model=exponential", "loss=log_cosh", "dtype=float64", "normalization=zscore"),
    ("model=power", "loss=mae", "dtype=float32", "normalization=scale"),
    ("model=linear", "loss=log_cosh", "dtype=float32", "normalization=none", "lr=1e-4"),
    ("model=linear", "loss=mse", "dtype=float64", "normalization=minmax", "data.validation=0.2"),
    ("model=proportional", "loss=mse", "dtype=float32", "normalization=scale", "data.sigma=0.5"),
]  # fmt: skip


def trained(client: MlflowClient) -> list[str]:
    """The ids of all runs that are none of a sweep's parents."""
    return [run.info.run_id for run in recorded(client) if not is_parent(run)]


def said(command: Command, run_id: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = command(f"repeat={run_id}")
    return code, "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "settings", [*KINDS[:2], *(pytest.param(each, marks=pytest.mark.slow) for each in KINDS[2:])]
)
def test_the_same_to_the_bit(
    settings: tuple[str, ...], client: MlflowClient, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of a sweep's runs, trained in company, and a run alone; and no run is added."""
    given = settings if any(each.startswith("lr=") for each in settings) else (*settings, "lr=1e-3")
    assert command("epochs=60", *given) == 0
    assert command("-m", "epochs=41,60", *given, "tracking.points=5") == 0
    runs = trained(client)
    assert len(runs) == 3
    for run_id in runs:
        code, text = said(command, run_id, capsys)
        assert code == 0
        assert "the same to the bit" in text
        assert "data         the same" in text
    assert trained(client) == runs


@pytest.mark.slow
def test_in_company_of_hundreds(
    client: MlflowClient, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twenty of four hundred, diverged ones among them."""
    rates = ",".join(f"{10 ** (-4 + k / 25):.4g}" for k in range(100))
    assert (
        command("-m", f"lr={rates}", "normalization=none,zscore", "dtype=float32,float64", "epochs=50") == 0
    )
    for run_id in itertools.islice(trained(client), 0, None, 20):
        code, text = said(command, run_id, capsys)
        assert (code, "the same to the bit" in text) == (0, True)


@pytest.mark.parametrize("fate", ["changed", "moved"])
@pytest.mark.parametrize("multirun", [(), ("-m",)])
def test_data_that_are_gone(
    multirun: tuple[str, ...], fate: str, folder: Path, client: MlflowClient, command: Command,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """It is said what became of the file, and the readings on record are taken."""
    file = (folder / "data" / "thermometer.csv").rename(folder / "mine.csv")
    settings = (
        "data.path=mine.csv",
        "data.sigma=0.7",
        "data.validation=0.3",
        "normalization=zscore",
        "lr=0.1",
        "epochs=30",
    )
    assert command(*multirun, *settings) == 0
    if fate == "moved":
        file.rename(folder / "elsewhere.csv")
    else:
        file.write_text(file.read_text().replace("0.5", "0.6"))
    code, text = said(command, trained(client)[0], capsys)
    assert code == 0
    assert "the same to the bit" in text
    assert ("no such file" if fate == "moved" else "has changed since") in text
    assert "those on record were taken" in text


@pytest.mark.parametrize("row", [1, -1], ids=["trained on", "held out"])
def test_a_record_that_was_edited(
    row: int, folder: Path, client: MlflowClient, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """Readings on record that are not those of the digest are not taken, nor those that validate."""
    file = (folder / "data" / "thermometer.csv").rename(folder / "mine.csv")
    assert command("data.path=mine.csv", "data.validation=0.3", "epochs=20") == 0
    [run_id] = trained(client)
    file.unlink()
    [kept] = folder.glob(f"mlruns/*/{run_id}/artifacts/data/*.csv")
    lines = kept.read_text().splitlines()
    lines[row] = lines[row].replace(",", ",1", 1)
    kept.write_text("\n".join(lines))
    code, text = said(command, run_id, capsys)
    assert code == 2
    assert "what it held is not on record" in text


def test_what_differs(client: MlflowClient, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """Another number on record, and another version, are told; the exit code is 1."""
    assert command("epochs=30") == 0
    [run_id] = trained(client)
    before = client.get_run(run_id).data
    client.set_tag(run_id, "code", before.tags["code"].replace("2.13", "2.12"))
    client.set_tag(run_id, "processor", "another")
    with sqlite3.connect("mlflow.db") as database:
        database.execute("UPDATE metrics SET value = value + 1 WHERE key = 'loss' AND step >= 10")
        database.execute("UPDATE latest_metrics SET value = 2 WHERE key = 'trained_w'")
    code, text = said(command, run_id, capsys)
    assert code == 1
    assert "from epoch 10 on" in text
    assert "trained_w 2.0, now " in text
    assert "torch 2.12" in text
    assert "processor another, now" in text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("repeat=" + "0" * 32,), "there is no run"),
        (("repeat=last",), "repeat=last is no calibration: give best, a run's id"),
        (("repeat=best", "lr=1e-3"), "leave out lr=1e-3"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_mistakes(
    given: tuple[str, ...], words: str, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("epochs=20") == 0
    capsys.readouterr()
    assert command(*given) == 2
    assert words in capsys.readouterr().err


def test_data_beyond_the_record(
    folder: Path, client: MlflowClient, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of older runs there is the file alone: where it is another, that is told."""
    assert command("epochs=20") == 0
    [run_id] = trained(client)
    for kept in folder.glob(f"mlruns/*/{run_id}/artifacts/data/*"):
        kept.unlink()
    file = folder / "data" / "thermometer.csv"
    file.write_text(file.read_text().replace("0.5", "0.6"))
    code, text = said(command, run_id, capsys)
    assert code == 2
    assert "has changed since, and what it held is not on record" in text
