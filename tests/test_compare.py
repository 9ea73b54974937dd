"""`python -m src.compare`: the same comparison in the terminal, and what may be asked of it."""

import csv
import io
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from mlflow import MlflowClient

from src import compare
from src.tracking import bulk
from tests.conftest import train_in, work_in
from tests.record import is_parent, recorded

Capture = pytest.CaptureFixture[str]
GRID = ("-m", "lr=1e-2,1e-3", "normalization=none,zscore", "epochs=20")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Path:
    """A folder with a sweep of four runs, one diverged; another sweep and a single run came before."""
    place = tmp_path_factory.mktemp("swept")
    other = ("-m", "lr=1e-4,2e-4", "epochs=5", "normalization=zscore")
    train_in(place, migrated_store, other, ("epochs=5",), GRID)
    return place


@pytest.fixture
def client(place: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> MlflowClient:
    """MLflow's own client on the store of the folder, in which the test works."""
    capfd.readouterr()
    return work_in(place, monkeypatch)


@pytest.fixture
def swept(client: MlflowClient) -> str:
    """The latest sweep's name."""
    parents = [run for run in recorded(client) if is_parent(run)]
    return max(parents, key=lambda run: run.info.start_time).data.tags["sweep"]


def shown(capfd: Capture, *args: str) -> list[dict[str, str]]:
    """The rows of `compare ARGS --format csv`."""
    assert compare.command([*args, "--format", "csv"]) == 0
    return list(csv.DictReader(io.StringIO(capfd.readouterr().out)))


@pytest.mark.usefixtures("folder")
def test_the_latest_sweep_is_shown_as_its_sweep_showed_it(
    command: Callable[..., int], capfd: Capture
) -> None:
    assert command(*GRID) == 0
    by_train = capfd.readouterr().out.splitlines()
    assert compare.command([]) == 0
    by_compare = capfd.readouterr().out.splitlines()
    assert by_compare == [line for line in by_train if not line.startswith(("data ", "model "))]


def test_csv_and_json_hold_every_param_and_metric(swept: str, client: MlflowClient, capfd: Capture) -> None:
    expected = {
        run.info.run_id: run for run in recorded(client, f"tags.sweep = '{swept}'") if not is_parent(run)
    }
    rows = shown(capfd)
    assert {row["run_id"] for row in rows} == set(expected)
    assert compare.command(["--format", "json"]) == 0
    for record, row in zip(json.loads(capfd.readouterr().out), rows, strict=True):
        run = expected[record["run_id"]]
        assert record["params"] == run.data.params
        metrics = {key: value for key, value in run.data.metrics.items() if key != "rank"}
        assert record["metrics"] == metrics
        assert record["outcome"] == run.data.tags["outcome"]
        assert (row["run_id"], row["rank"]) == (record["run_id"], str(record["rank"]))
        assert {key: row[{"loss": "loss_fn"}.get(key, key)] for key in run.data.params} == run.data.params
        assert {key: float(row[key]) for key in metrics} == metrics


@pytest.mark.usefixtures("client")
def test_a_sweep_by_its_name_or_its_parents_id(client: MlflowClient, capfd: Capture) -> None:
    first = min((run for run in recorded(client) if is_parent(run)), key=lambda run: run.info.start_time)
    by_name = shown(capfd, first.data.tags["sweep"])
    assert {row["lr"] for row in by_name} == {"0.0001", "0.0002"}
    assert shown(capfd, first.info.run_id) == by_name


@pytest.mark.usefixtures("client")
def test_runs_by_their_ids_and_a_whole_experiment(client: MlflowClient, capfd: Capture) -> None:
    runs = [run for run in recorded(client) if not is_parent(run)]
    some = sorted(run.info.run_id for run in runs)[1:4]
    assert sorted(row["run_id"] for row in shown(capfd, *some)) == some
    assert [row["run_id"] for row in shown(capfd, some[0])] == [some[0]]
    everything = shown(capfd, "--experiment", "thermometer")
    assert len(everything) == len(runs) == 7
    losses = [float(row["loss"]) for row in everything if row["outcome"] != "diverged"]
    assert losses == sorted(losses)
    assert {row["outcome"] for row in everything[len(losses) :]} == {"diverged"}


@pytest.mark.parametrize("given", ["lr < 0.005 and epochs = 20", "params.lr = '0.01'", "loss > 0"])
@pytest.mark.parametrize("where", [[], ["--experiment", "thermometer"]], ids=["sweep", "experiment"])
def test_the_table_that_is_linked_is_filtered(
    given: str, where: list[str], client: MlflowClient, capfd: Capture
) -> None:
    """MLflow finds the same runs by the condition in the address as are shown."""
    rows = shown(capfd, *where, "--filter", given)
    assert compare.command([*where, "--filter", given]) == 0
    [address] = re.findall(r"table +(\S+)", capfd.readouterr().out)
    [condition] = parse_qs(urlsplit(address.replace("#", "")).query)["searchFilter"]
    found = [run for run in recorded(client, condition) if not is_parent(run)]
    assert sorted(run.info.run_id for run in found) == sorted(row["run_id"] for row in rows)


@pytest.mark.usefixtures("client")
def test_filter_sort_and_top(capfd: Capture) -> None:
    rows = shown(capfd, "--filter", "params.normalization = 'zscore' and metrics.loss > 0")
    assert {row["normalization"] for row in rows} == {"zscore"}
    assert len(rows) == 2
    losses = [
        float(row["loss"]) for row in shown(capfd, "--sort", "loss desc") if row["outcome"] == "stopped"
    ]
    assert losses == sorted(losses, reverse=True)
    assert [row["lr"] for row in shown(capfd, "--sort", "lr", "--top", "3")] == ["0.001", "0.001", "0.01"]
    by_text = [row["normalization"] for row in shown(capfd, "--sort", "normalization desc")]
    assert by_text == ["zscore", "zscore", "none", "none"]


FILTERS = {
    # of the two rates under two normalizations, both diverged without one: which rates pass
    "params.lr < 0.01": ["0.001", "0.001"],
    "lr < 0.01": ["0.001", "0.001"],
    "lr <= 1e-2 and lr > 0.0010": ["0.01", "0.01"],
    "params.lr = 0.010": ["0.01", "0.01"],
    "params.lr = '1e-3'": ["0.001", "0.001"],
    "lr != 0.01": ["0.001", "0.001"],
    "lr == 0.01 and normalization=='zscore'": ["0.01"],
    "normalization = 'zscore' AND `lr` >= 0.01": ["0.01"],
    "params.normalization = 'zscore' and params.lr<0.01": ["0.001"],
    "params.normalization LIKE '%score' and lr < 0.01 and metrics.loss > 0": ["0.001"],
    "loss < 1e9 and status = 'FINISHED'": ["0.001", "0.01"],
    "loss = 'mse' and tags.outcome = 'diverged'": ["0.001", "0.01"],
    "outcome = 'diverged'": ["0.001", "0.01"],
    "outcome != 'diverged' and lr < 0.01": ["0.001"],
}


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("condition", FILTERS)
def test_numbers_are_filtered_as_numbers(condition: str, capfd: Capture) -> None:
    assert sorted(row["lr"] for row in shown(capfd, "--filter", condition)) == FILTERS[condition]


@pytest.mark.usefixtures("client")
def test_through_the_client_the_same_runs_are_found(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a server, or a database whose schema the fast reader does not know."""
    fast = shown(capfd), shown(capfd, "--experiment", "thermometer")
    monkeypatch.setattr(bulk, "KNOWN_SCHEMAS", set())
    by_key = [sorted(map(sorted, (row.items() for row in rows))) for rows in fast]
    slow = shown(capfd), shown(capfd, "--experiment", "thermometer")
    assert [sorted(map(sorted, (row.items() for row in rows))) for rows in slow] == by_key


@pytest.mark.usefixtures("client")
@pytest.mark.pictures
def test_a_page_of_the_chosen_runs(tmp_path: Path) -> None:
    page = tmp_path / "out" / "page"
    assert compare.command(["--filter", "params.normalization = 'zscore'", "--page", str(page)]) == 0
    files = {path.name for path in page.iterdir()}
    assert files == {
        "runs.csv",
        "sweep.html",
        "report.html",
        "observations.csv",
        "note.md",
        "loss_curves.png",
        "loss_gap.png",
        "fits.png",
        "graph.png",
    }
    assert len((page / "runs.csv").read_text().splitlines()) == 3


@pytest.mark.usefixtures("client")
def test_a_page_is_about_the_best_however_the_table_is_sorted(tmp_path: Path) -> None:
    assert compare.command(["--page", str(tmp_path / "usual")]) == 0
    assert compare.command(["--page", str(tmp_path / "worst"), "--sort", "loss_gap desc"]) == 0
    usual, worst = ((tmp_path / name / "note.md").read_text() for name in ("usual", "worst"))
    assert usual == worst


def test_a_wide_table_loses_no_digit(command: Callable[..., int], folder: Path, capfd: Capture) -> None:
    """Wider than any terminal: what tells these runs apart takes twenty columns."""
    copy = folder / "another-file-with-a-long-name-of-its-own.csv"  # the same readings: one table
    shutil.copy(folder / "data" / "thermometer.csv", copy)
    path = "data.path=data/thermometer.csv,another-file-with-a-long-name-of-its-own.csv"
    wide = ("model=linear,quadratic", "dtype=float32,float64", "normalization=none,zscore", path)
    assert command("-m", *wide, "epochs=5", "lr=1e-8") == 0
    lines = capfd.readouterr().out.splitlines()
    header, *rows = [line for line in lines if not line.startswith("data ")]
    assert header.split()[0] == "#"
    assert [row.split()[0] for row in rows[:16]] == [str(rank) for rank in range(1, 17)]
    assert "…" not in "".join(rows[:16])


@pytest.mark.usefixtures("client")
@pytest.mark.pictures
def test_a_page_without_the_data_that_a_run_was_trained_on(place: Path, tmp_path: Path) -> None:
    data, before = place / "data" / "thermometer.csv", (place / "data" / "thermometer.csv").read_bytes()
    try:
        data.write_text("t_u,t_c\n1,2\n2,3\n3,5\n")
        assert compare.command(["--page", str(tmp_path)]) == 0
    finally:
        data.write_bytes(before)
    assert "has changed since" in (tmp_path / "note.md").read_text()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"runs.csv", "sweep.html", "report.html", "note.md", "loss_curves.png", "loss_gap.png"}


MISTAKES = {
    "--bogus": "unrecognized arguments",
    "--format xml": "invalid choice: 'xml'",
    "--top 0": "--top 0 is not allowed",
    "--top many": "invalid int value",
    "--sort bogus": "no run has that; give one of",
    "--sort 'loss up'": "give 'KEY', 'KEY asc' or 'KEY desc'",
    "--filter bogus": "there are lr, epochs, normalization",
    "--filter 'bogus < 1'": "--filter bogus: no run has that; give one of lr, epochs, normalization",
    "--filter 'params.bogus < 1'": "--filter bogus: no run has that",
    "--filter 'lr < abc'": "lr < abc: < takes a number",
    "--filter \"params.lr = '7'\"": "no run matches the filter",
    "--experiment bogus": "there is no experiment bogus: the store has thermometer",
    "sweep-bogus": "there is no sweep sweep-bogus; the latest is sweep-20",
    "0123": "there is no run 0123",
    "0123 4567": "there is no run 0123, 4567",
    "--register a/b": "give a short name without / : @",
    "--page data/thermometer.csv": "cannot be written",
    f"--register {'x' * 251}": "give a short name",
    "--register a@b": "give a short name without / : @",
    '"it\'s"': "there is no sweep or run",
}


@pytest.mark.usefixtures("client")
def test_mistakes_are_told_in_a_line(client: MlflowClient, capfd: Capture) -> None:
    for line, told in MISTAKES.items():
        assert compare.command(shlex.split(line)) == 2, line
        output = capfd.readouterr()
        assert output.err.startswith("error: ")
        assert told in output.err
        assert len(output.err.splitlines()) == 1
    assert client.search_registered_models() == []


def test_no_store_is_told_and_none_is_made(empty_folder: Path, capfd: Capture) -> None:
    assert compare.command([]) == 2
    assert "mlflow.db is not there, or empty; train some with" in capfd.readouterr().err
    assert {path.name for path in empty_folder.iterdir()} == {"data"}


@pytest.mark.usefixtures("folder")
def test_a_store_without_a_sweep(capfd: Capture) -> None:
    assert compare.command([]) == 2
    assert "no sweep is on record" in capfd.readouterr().err


@pytest.mark.parametrize("named", [False, True])
def test_a_sweep_that_left_no_run(
    named: bool, command: Callable[..., int], folder: Path, capfd: Capture
) -> None:
    """Killed in its first batch, it has its parent alone, while other runs are there: it is named."""
    assert command("epochs=5") == 0
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("thermometer").experiment_id
    client.create_run(experiment, tags={"sweep": "sweep-99", "settings": "0" * 16})
    capfd.readouterr()
    assert compare.command(["sweep-99"] if named else []) == 2
    told = "error: no run of sweep-99 is on record; python -m src.train resume=sweep-99 goes on with it: "
    assert capfd.readouterr().err.startswith(told)
