"""A run's place in the one order is on record, and MLflow's page, which sorts by one metric, sorts by it."""

import base64
import csv
import io
import json
import zlib
from pathlib import Path

import pytest
from mlflow import MlflowClient

from src import compare
from src.tracking import reader
from src.tracking.ranking import ranked
from src.tracking.selection import Selection
from src.tracking.store import existing
from tests.conftest import train_in, work_in
from tests.record import is_parent, recorded

# converged, stopped and diverged runs of two models, and ties
SWEPT = ("-m", "model=linear,quadratic", "normalization=none,minmax", "lr=0.2,0.1", "epochs=50,5000")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Path:
    """A folder with a sweep, and beside it a run on its own."""
    place = tmp_path_factory.mktemp("swept")
    train_in(place, migrated_store, SWEPT, ["epochs=5"])
    return place


@pytest.fixture
def client(place: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """MLflow's own client on the sweep's store, in whose folder the test works."""
    return work_in(place, monkeypatch)


@pytest.fixture
def sweep(client: MlflowClient) -> str:
    """The name of the sweep."""
    [parent] = [run for run in recorded(client) if "settings" in run.data.tags]
    return parent.data.tags["sweep"]


def order(sweep: str) -> list[str]:
    """The ids of its runs in the order of table, words and `best`."""
    return [run.run_id for run in ranked(reader.runs(existing(), Selection(sweep=sweep)))]


def shown(client: MlflowClient, sweep: str) -> list[str]:
    """The ids of its runs as MLflow lists them for its view."""
    experiment = client.get_experiment_by_name("thermometer")
    packed = json.loads(experiment.tags[f"mlflow.sharedViewState.{sweep}"])["state"]
    view = json.loads(zlib.decompress(base64.b64decode(packed.removeprefix("deflate;"))))
    by = [f"{view['orderByKey']} {'ASC' if view['orderByAsc'] else 'DESC'}"]
    found = client.search_runs([experiment.experiment_id], view["searchFilter"], order_by=by)
    return [run.info.run_id for run in found if not is_parent(run)]


def test_the_view_is_in_the_order(sweep: str, client: MlflowClient) -> None:
    """Whatever a column of gaps or losses would say of ties, of two models and of what diverged."""
    outcomes = {run.data.tags.get("outcome") for run in recorded(client, f"tags.sweep = '{sweep}'")}
    assert outcomes >= {"converged", "stopped", "diverged"}
    assert len(order(sweep)) == 16
    assert shown(client, sweep) == order(sweep)


def test_a_place_for_each(sweep: str, client: MlflowClient) -> None:
    """From 1 for the best; 0 for the parent, which comes first, and none for a run on its own."""
    found = {run.info.run_id: run.data.metrics.get("rank") for run in recorded(client)}
    [parent] = [run.info.run_id for run in recorded(client) if is_parent(run)]
    assert {run_id: place for run_id, place in found.items() if place is not None} == {
        run_id: place for place, run_id in enumerate([parent, *order(sweep)])
    }


@pytest.mark.usefixtures("sweep")
def test_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    """`compare` counts the runs that it shows; by the place among all of the sweep they can be chosen."""
    assert compare.command(["--filter", "metrics.rank > 3 and metrics.rank < 6", "--format", "csv"]) == 0
    header, *rows = csv.reader(io.StringIO(capfd.readouterr().out))
    assert header.count("rank") == 1
    assert [row[header.index("rank")] for row in rows] == ["1", "2"]
    assert compare.command(["--format", "json"]) == 0
    records = json.loads(capfd.readouterr().out)
    assert [record["rank"] for record in records] == list(range(1, 17))
    assert not any("rank" in record["metrics"] for record in records)
