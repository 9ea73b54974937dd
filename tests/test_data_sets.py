"""Runs on several data sets: a table, a best and a model for each; one name is for one of them.

The sensors are parabolas with an error of a known pattern, so that a parabola fits each better than a line.
"""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from mlflow import MlflowClient
from mlflow.entities import Run

from src import compare, predict, train
from src.data import load
from src.models import MODELS
from src.package import CONF
from src.report import page, screen
from src.settings import DataSettings
from src.tracking import bulk, reader
from src.tracking.selection import Selection
from src.tracking.store import existing
from tests.conftest import train_in, work_in
from tests.record import is_parent, recorded
from tests.test_page import PICTURES, tables

Capture = pytest.CaptureFixture[str]
Command = Callable[..., int]
SENSORS = {"a": (2.0, 1.0), "b": (2.5, -3.0), "c": (0.5, 7.0)}  # slope and offset
COLUMNS = ("data.input=volt", "data.target=celsius")
GRID = ("-m", *COLUMNS, "model=linear,quadratic", "normalization=zscore", "lr=0.1", "epochs=400,800")
FILES = "data.path=a.csv,b.csv,c.csv"


def write(name: str, slope: float, offset: float) -> None:
    rows = [f"{x},{slope * x + offset + 0.1 * x * x + (-1) ** x * 0.2:.3f}" for x in range(1, 11)]
    Path(f"{name}.csv").write_text("\n".join(["volt,celsius", *rows]) + "\n")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> tuple[Path, str]:
    """A folder with a sweep over three sensors and two models, and what it showed."""
    place = tmp_path_factory.mktemp("sensors")
    for name, line in SENSORS.items():
        write(str(place / name), *line)
    return place, train_in(place, migrated_store, (*GRID, FILES), with_pictures=True)


@pytest.fixture
def sensors(swept: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """MLflow's own client on the sweep's store, in whose folder the test works."""
    return work_in(swept[0], monkeypatch)


@pytest.fixture
def sensor(folder: Path) -> Path:
    """A file of the working directory."""
    write("mine", *SENSORS["a"])
    return folder / "mine.csv"


def children(client: MlflowClient) -> list[Run]:
    return [run for run in recorded(client) if not is_parent(run)]


def test_three_of_each(swept: tuple[Path, str], sensors: MlflowClient, tmp_path: Path) -> None:
    """Three tables, three best, three models: of each sensor the parabola that took the fewest epochs."""
    lines = swept[1].splitlines()
    headings = [
        place for place, line in enumerate(lines) if re.match(r"[abc]\.csv, volt to celsius, data", line)
    ]
    assert [lines[place][0] for place in headings] == ["a", "b", "c"]
    for place in headings:
        assert lines[place + 1].split()[0] == "#"
        ranks = [line.split() for line in lines[place + 2 : place + 6]]
        assert [row[0] for row in ranks] == ["1", "2", "3", "4"]
        found = [(row[4], row[2]) for row in ranks]
        assert found == [("quadratic", "400"), ("quadratic", "800"), ("linear", "400"), ("linear", "800")]

    bests = [run for run in children(sensors) if run.outputs.model_outputs]
    assert sorted(run.data.params["data"] for run in bests) == ["a.csv", "b.csv", "c.csv"]
    assert {(run.data.params["model"], run.data.params["epochs"]) for run in bests} == {("quadratic", "400")}
    models = [line for line in lines if line.startswith("model ")]
    assert [re.search(r"of (\w)\.csv", line)[1] for line in models] == ["a", "b", "c"]  # type: ignore[index]
    for run, line in zip(sorted(bests, key=lambda run: run.data.params["data"]), models, strict=True):
        assert run.outputs.model_outputs[0].model_id in line

    [parent] = [run for run in recorded(sensors) if is_parent(run)]
    page = Path(sensors.download_artifacts(parent.info.run_id, "", str(tmp_path)))
    note = (page / "note.md").read_text()
    assert note.count("Best is `lr=0.1 zscore 400 quadratic") == 3
    with (page / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"] * 3
    on_record = {run.info.run_id: run.data.metrics["rank"] for run in children(sensors)}
    assert {row["run_id"]: float(row["rank"]) for row in rows} == on_record, "as MLflow's page shows it"
    assert len({row["data_digest"] for row in rows}) == 3
    assert len(tables(page)) == 3
    drawn = [folder for folder in page.iterdir() if folder.is_dir() and folder.name != "data"]
    assert len(drawn) == 3
    for folder in drawn:
        assert {file.name for file in folder.iterdir()} == {"observations.csv", "report.html", *PICTURES}
        assert folder.name in note


def test_compared_apart(sensors: MlflowClient, capfd: Capture) -> None:
    """`--top` and `--sort` are of each table; as JSON, too."""
    del sensors
    assert compare.command(["--top", "1", "--format", "json"]) == 0
    records = json.loads(capfd.readouterr().out)
    assert [(each["params"]["data"], each["rank"]) for each in records] == [
        ("a.csv", 1), ("b.csv", 1), ("c.csv", 1),
    ]  # fmt: skip
    assert compare.command(["--top", "1", "--sort", "loss desc", "--format", "csv"]) == 0
    rows = csv.DictReader(io.StringIO(capfd.readouterr().out))
    assert [(row["data"], row["model"]) for row in rows] == [(f"{name}.csv", "linear") for name in SENSORS]


@pytest.mark.pictures
def test_many_data_sets(
    sensors: MlflowClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Capture
) -> None:
    """Of more than can be read, or drawn in a while, the first; and a word on the others."""
    del sensors
    monkeypatch.setattr(screen, "MOST_TABLES", 2)
    monkeypatch.setattr(page, "MOST_DRAWN", 1)
    assert compare.command(["--page", str(tmp_path / "page")]) == 0
    told = capfd.readouterr().out
    assert told.count("volt to celsius") == 2
    assert "… and 1 more data sets, shown by" in told
    assert [path.name[:2] for path in (tmp_path / "page").iterdir() if path.is_dir()] == ["a-"]
    assert "Figures are of the first 1." in (tmp_path / "page" / "note.md").read_text()


def test_columns_of_a_models_own(
    command: Command, client: MlflowClient, sensor: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line beside a curve that is known as trained alone: the line's cells are its own."""
    del client
    monkeypatch.delattr(MODELS["exponential"], "in_raw_units")
    models = "model=linear,exponential"
    assert (
        command("-m", f"data.path={sensor.name}", *COLUMNS, models, "normalization=zscore", "epochs=3") == 0
    )
    header, *rows = [
        line for line in capfd.readouterr().out.splitlines() if line[:2].strip() in ("#", "1", "2")
    ]
    assert {"w", "b", "trained_a", "trained_b"} <= set(header.split())
    line = next(row for row in rows if " linear " in row)
    start = header.index("trained_b")
    assert not line[start : start + len("trained_b")].strip()


def test_one_name_refused(command: Command, client: MlflowClient, folder: Path, capfd: Capture) -> None:
    """Before anything is recorded, where one process has all settings in hand."""
    for name, line in SENSORS.items():
        write(name, *line)
    assert command(*GRID, FILES, "register=sensor") == 2
    told = capfd.readouterr().err
    assert "register sensor: there are 3 data sets" in told
    assert "--filter \"tags.data_digest = '" in told
    with initialize_config_dir(str(CONF), version_base="1.3"):
        paths = ["a.csv", "b.csv"]
        lines = [[*COLUMNS, f"data.path={path}", "epochs=5", "+register=x"] for path in paths]
        cfgs = [compose("config", [*line[:-1], "register=x"]) for line in lines]
    assert [type(each).__name__ for each in train.train(cfgs)] == ["ConfigError"] * 2
    assert recorded(client) == []
    assert {path.name for path in folder.iterdir()} == {
        "data",
        "mlflow.db",
        *(f"{name}.csv" for name in SENSORS),
    }


def test_one_name_of_jobs_apart(command: Command, client: MlflowClient, folder: Path, capfd: Capture) -> None:
    """Each is trained by itself, so it is known at the end: the runs stay, and nothing is registered."""
    del folder
    write("a", *SENSORS["a"])
    write("b", *SENSORS["b"])
    jobs = (
        "-m",
        "data.path=a.csv,b.csv",
        *COLUMNS,
        "normalization=zscore",
        "epochs=5",
        "hydra/launcher=basic",
    )
    assert command(*jobs, "register=sensor") == 0
    assert "registered   none: register sensor: there are 2 data sets" in capfd.readouterr().out
    assert len(children(client)) == 2
    assert client.search_registered_models() == []
    assert all(run.outputs.model_outputs for run in children(client)), "their models are logged all the same"


def test_one_registered_by_its_digest(sensors: MlflowClient, capfd: Capture) -> None:
    """As the refusal says."""
    assert compare.command(["--register", "sensor"]) == 2
    told = capfd.readouterr().err
    assert sensors.search_registered_models() == []
    [filter_] = re.findall(r'--filter "(.*?)"', told)
    assert compare.command(["--filter", filter_, "--register", "sensor"]) == 0
    [version] = sensors.search_model_versions("name = 'sensor'")
    assert sensors.get_run(version.run_id).data.tags["data_digest"] in filter_


def test_the_same_data(command: Command, client: MlflowClient, sensor: Path) -> None:
    """However a file writes its numbers, and whatever else it holds: one digest, one fingerprint."""
    text = sensor.read_text()
    same = {
        "CRLF": text.replace("\n", "\r\n"),
        "further": re.sub(r"^", "x,", text, flags=re.M).rstrip("x,"),
        "zeros": re.sub(r"(\.\d+)$", r"\g<1>00", text, flags=re.M),
    }
    for name, other in same.items():
        assert other != text
        sensor.with_name(f"{name}.csv").write_bytes(other.encode())
    files = ",".join(f"{name}.csv" for name in ("mine", *same))
    assert command("-m", f"data.path={files}", *COLUMNS, "epochs=3") == 0
    runs = children(client)
    assert len({run.data.params["data"] for run in runs}) == 4
    for tag in ("data_digest", "fingerprint"):
        assert len({run.data.tags[tag] for run in runs}) == 1


def test_other_data(sensor: Path) -> None:
    """A digit, the order, the columns exchanged."""
    settings = DataSettings(path=sensor.name, input="volt", target="celsius")
    digests = {load(settings, 2).digest}
    digests.add(load(DataSettings(path=sensor.name, input="celsius", target="volt"), 2).digest)
    header, first, *rows = sensor.read_text().splitlines()
    for lines in ([header, *rows, first], [header, f"{first}1", *rows]):
        sensor.write_text("\n".join(lines))
        digests.add(load(settings, 2).digest)
    assert len(digests) == 4


def test_older_runs(sensors: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the tag a run's dataset input tells its data, by either way of reading."""
    shutil.copy(Path(sensors._tracking_client.tracking_uri.removeprefix("sqlite:///")), folder / "mlflow.db")
    monkeypatch.chdir(folder)
    older = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    expected = {}
    for run in children(older):
        older.delete_tag(run.info.run_id, "data_digest")
        expected[run.info.run_id] = run.inputs.dataset_inputs[0].dataset.digest
    assert len(set(expected.values())) == 3
    for schemas in (bulk.KNOWN_SCHEMAS, set[str]()):
        monkeypatch.setattr(bulk, "KNOWN_SCHEMAS", schemas)
        found = reader.runs(existing("thermometer"), Selection())
        assert {run.run_id: run.data_digest for run in found} == expected
        assert all(run.start_ms > 0 for run in found)


Ask = Callable[..., tuple[float, str]]


@pytest.fixture
def ask(capfd: Capture) -> Ask:
    """What `predict best 5 ARGS` says and how it introduces it."""

    def run(*args: str) -> tuple[float, str]:
        capfd.readouterr()
        assert predict.command(["best", "5", *args]) == 0, capfd.readouterr().err
        out, err = capfd.readouterr()
        return float(out.splitlines()[1].split(",")[1]), err.splitlines()[0]

    return run


MINE = ("data.path=mine.csv", *COLUMNS, "normalization=zscore")


def test_best_of_an_edited_file(command: Command, client: MlflowClient, sensor: Path, ask: Ask) -> None:
    """Two runs on the first readings converge; one on the second is far from it, and is the one.

    At 5 the sensors say 2 * 5 + 1 + 2.5 and 0.5 * 5 + 7 + 2.5, but for a fifth of a degree and more.
    """
    del client
    assert command("-m", *MINE, "lr=0.1,0.2", "epochs=400") == 0
    told, said = ask()
    assert told == pytest.approx(13.5, abs=1)
    assert "left out" not in said
    first = sensor.read_text()
    write("mine", *SENSORS["c"])
    assert "mine.csv has changed since: train on it as it is now" in ask()[1]
    assert command(*MINE, "lr=0.1", "epochs=20") == 0
    told, said = ask()
    assert told == pytest.approx(12, abs=1)
    assert said.endswith("; 2 runs on other data left out")
    sensor.write_text(first)  # as it is now, not the newest
    told, said = ask()
    assert told == pytest.approx(13.5, abs=1)
    assert said.endswith("; 1 run on other data left out")
    sensor.unlink()  # gone: the newest
    told, said = ask()
    assert told == pytest.approx(12, abs=1)
    assert said.endswith("; 2 runs on other data left out")


def test_edited_and_compared(command: Command, client: MlflowClient, sensor: Path, capfd: Capture) -> None:
    """The newest first."""
    del client, sensor
    assert command(*MINE, "epochs=5") == 0
    write("mine", *SENSORS["c"])
    assert command(*MINE, "epochs=5") == 0
    capfd.readouterr()
    assert compare.command(["--experiment", "thermometer"]) == 0
    found = re.findall(r"^mine\.csv, volt to celsius, data digest (\w+)$", capfd.readouterr().out, re.M)
    now = load(DataSettings(path="mine.csv", input="volt", target="celsius"), 2).digest
    assert len(found) == 2
    assert found[0] == now


def test_best_in_the_only_experiment(command: Command, client: MlflowClient, sensor: Path, ask: Ask) -> None:
    """Where the default one is not there."""
    del client, sensor
    assert command(*MINE, "lr=0.1", "epochs=400", "tracking.experiment=mine") == 0
    assert ask() == ask("--experiment", "mine")


def test_the_address_of_an_experiment(sensors: MlflowClient, capfd: Capture) -> None:
    """Is that of its runs, not of the first of them; one run's is its own."""
    assert compare.command(["--experiment", "thermometer"]) == 0
    experiment = sensors.get_experiment_by_name("thermometer").experiment_id
    run = children(sensors)[0].info.run_id
    assert f"/#/experiments/{experiment}/runs?" in capfd.readouterr().out
    assert compare.command([run]) == 0
    assert f"/#/experiments/{experiment}/runs/{run}?workflowType=machine_learning " in capfd.readouterr().out
