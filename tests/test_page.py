"""The files that a sweep's page holds."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from src import predict
from src.report import document
from src.report.comparison import Comparison
from src.tracking import bulk, reader
from src.tracking.selection import Selection
from src.tracking.store import existing
from tests.conftest import ROOT, train_in, work_in
from tests.record import is_parent, recorded

GRID = ("-m", "lr=1e-2,1e-3", "normalization=none,zscore", "epochs=50,500")
PICTURES = {"loss_curves.png", "loss_gap.png", "fits.png", "graph.png"}
OF_A_RUN = {"data", "report.html", "loss_curves.png", "loss_surface.png", "fits.png", "graph.png"}


def tables(page: Path) -> list[list[dict[str, Any]]]:
    """The rows of a page's tables, as its script reads them."""
    text = (page / "sweep.html").read_text("utf-8")
    [found] = re.findall(r'<script type="application/json" id="tables">(.*?)</script>', text)
    return [
        [
            {
                column["title"]: column["texts"][value] if "texts" in column else value
                for column, value in zip(columns, values, strict=True)
            }
            for values in zip(*(column["values"] for column in columns), strict=True)
        ]
        for columns in json.loads(found)
    ]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Path:
    """A folder with a sweep, of whose four points on zscore one converges."""
    place = tmp_path_factory.mktemp("swept")
    train_in(place, migrated_store, (*GRID, "register=thermometer"), with_pictures=True)
    return place


@pytest.fixture
def looked_at(swept: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """MLflow's own client on the sweep's store, in whose folder the test works."""
    return work_in(swept, monkeypatch)


@pytest.fixture
def page(looked_at: MlflowClient) -> Path:
    """The artifacts of the sweep's parent."""
    [parent] = [run for run in recorded(looked_at) if is_parent(run)]
    return Path(looked_at.download_artifacts(parent.info.run_id, ""))


def test_table_figures_words_and_config_are_there(page: Path) -> None:
    names = {path.name for path in page.iterdir()}
    assert names == {"runs.csv", "sweep.html", "note.md", "sweep.yaml", "observations.csv", "data"} | {
        "report.html",
        *PICTURES,
    }
    observations = pd.read_csv(page / "observations.csv")
    known = json.loads((ROOT / "tests" / "oracles" / "statistics.json").read_text())["thermometer, linear"]
    for name in ("leverage", "cooks_distance"):  # by mpmath
        told = observations[name.removesuffix("s_distance")]
        assert told.tolist() == pytest.approx([float(value) for value in known[name]], rel=1e-9)
    assert observations["line"].tolist() == list(range(2, 13))
    for name in PICTURES:
        picture = (page / name).read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) < 400_000


def test_its_table_says_what_the_csv_says(page: Path) -> None:
    """In all digits."""
    runs = pd.read_csv(page / "runs.csv", keep_default_na=False, na_values={"loss_gap": "", "w": ""})
    [rows] = tables(page)
    assert len(rows) == len(runs) == 8
    for row, (_, run) in zip(rows, runs.iterrows(), strict=True):
        assert row["run id"] == run["run_id"]
        assert row["lr"] == run["lr"]
        assert row["normalization"] == run["normalization"]
        assert row["outcome"].startswith(run["outcome"])
        assert row["reason"] == run["reason"]
        expected = None if run["outcome"] == "diverged" else (run["loss_gap"], run["w"])
        assert expected in (None, (row["loss_gap"], row["w"]))
        assert (row["loss"] is None) == (run["outcome"] == "diverged")


def test_it_holds_all_that_it_shows(page: Path) -> None:
    """The four figures, as they lie beside it, and nothing to fetch from elsewhere."""
    text = (page / "sweep.html").read_text("utf-8")
    for name in PICTURES:
        assert base64.b64encode((page / name).read_bytes()).decode() in text
    assert not re.search(r"<(?:link|script|img)[^>]* (?:href|src)=\"(?!data:)", text)
    assert len(text) < 2_000_000


def test_what_a_file_calls_things_is_no_html(folder: Path, client: MlflowClient) -> None:
    """Neither in the words nor in the table."""
    tags = {"outcome": "converged", "reason": "</script><b>&"}
    on_record = client.create_run(client.create_experiment("thermometer"), tags=tags, run_name="<b>")
    for key, value in {"lr": "0.1", "model": "<b>", "data": "<b>.csv"}.items():
        client.log_param(on_record.info.run_id, key, value)
    store = existing("thermometer")
    [run] = reader.runs(store, Selection())
    pieces = document.as_html(Comparison(store, "a <title>", [run]), ["<b>"], [], {"<b>": 'http://x/"'})
    text = "".join(pieces)
    for name in ("sweep.js", "tabulator/tabulator.min.js"):
        text = text.replace((Path(document.__file__).parent / name).read_text("utf-8"), "")
    assert "<b>" not in text
    assert text.count("</script>") == 3
    assert "<title>a &lt;title&gt;</title>" in text
    assert 'href="http://x/&quot;"' in text
    (folder / "sweep.html").write_text(text, "utf-8")
    [[row]] = tables(folder)
    assert (row["run"], row["reason"]) == ("<b>", "</script><b>&")


@pytest.mark.pictures
def test_a_single_run_has_its_pictures_and_its_model(
    command: Callable[..., int], client: MlflowClient
) -> None:
    assert command("epochs=5") == 0
    [run] = recorded(client)
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == OF_A_RUN
    assert len(run.outputs.model_outputs) == 1


@pytest.mark.pictures
def test_a_diverged_run_has_its_pictures_and_no_model(
    command: Callable[..., int], client: MlflowClient, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command("normalization=none", "register=thermometer") == 0
    [run] = recorded(client)
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == OF_A_RUN - {"report.html"}
    assert not run.outputs.model_outputs
    assert client.search_registered_models() == []
    assert "nothing is registered as thermometer" in capfd.readouterr().out


def test_the_best_runs_model_is_registered_when_asked(looked_at: MlflowClient) -> None:
    [best] = recorded(looked_at, "tags.outcome = 'converged'")
    [version] = looked_at.search_model_versions("name = 'thermometer'")
    assert version.run_id == best.info.run_id


def test_descriptions_on_experiment_parent_and_runs(looked_at: MlflowClient) -> None:
    assert "loss_gap" in looked_at.get_experiment_by_name("thermometer").tags["mlflow.note.content"]
    notes = {run.info.run_name: run.data.tags["mlflow.note.content"] for run in recorded(looked_at)}
    assert len(notes) == 9
    assert re.match(
        r"Loss 2\.92\d+: `t_c = 0\.53\d+ \* t_u - 17\.\d+`, .* Converged\.", notes["lr=0.01 zscore 500"]
    )
    told = "epoch 50: 370 epochs are enough, fewer with a larger lr, up to 0.5."  # the fastest
    assert told in notes["lr=0.01 zscore 50"]
    assert notes["lr=0.01 none 50"].startswith("Diverged at epoch 11: lr 0.01 is 29 times the limit")
    assert notes[next(name for name in notes if name.startswith("sweep "))].startswith(
        "Best is `lr=0.01 zscore 500`: `t_c = 0.53675"
    )


def test_the_parent_has_the_numbers_of_its_best(looked_at: MlflowClient) -> None:
    """And no curve, for a sweep has none; it comes before its runs, and links its model."""
    [parent] = [run for run in recorded(looked_at) if is_parent(run)]
    [best] = recorded(looked_at, "metrics.rank = 1")
    assert parent.data.params == best.data.params
    expected = {key: value for key, value in best.data.metrics.items() if key != "loss"} | {"rank": 0}
    assert parent.data.metrics == expected
    [model] = best.outputs.model_outputs
    linked = f"](#/experiments/1/models/{model.model_id}?workflowType=machine_learning)"
    assert linked in parent.data.tags["mlflow.note.content"]


def test_the_parent_is_no_run_for_that(looked_at: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the record; nor does it predict."""
    [parent] = [run for run in recorded(looked_at) if is_parent(run)]
    for known in (bulk.KNOWN_SCHEMAS, set()):
        monkeypatch.setattr(bulk, "KNOWN_SCHEMAS", known)
        ids = {run.run_id for run in reader.runs(existing("thermometer"), Selection())}
        assert len(ids) == 8
        assert parent.info.run_id not in ids
    assert predict.command([parent.info.run_id, "50"]) == 2


def test_the_experiment_says_what_its_latest_sweep_found(
    command: Callable[..., int], client: MlflowClient
) -> None:
    """In its first line; what a person has written stays, and of several sweeps' lines there is one."""
    assert command("-m", "lr=1e-2,1e-3", "normalization=zscore", "epochs=500") == 0
    experiment = client.get_experiment_by_name("thermometer")
    written = f"Bath 2.\n\n{experiment.tags['mlflow.note.content']}\n\nMine, too."
    client.set_experiment_tag(experiment.experiment_id, "mlflow.note.content", written)
    assert command("-m", "lr=2e-2,3e-2", "normalization=zscore", "epochs=500") == 0
    told = client.get_experiment_by_name("thermometer").tags["mlflow.note.content"]
    [latest, bath, *_, mine] = told.split("\n\n")
    parent = max((run for run in recorded(client) if is_parent(run)), key=lambda run: run.info.start_time)
    page = f"#/experiments/1/runs/{parent.info.run_id}/artifacts/sweep.html?workflowType=machine_learning"
    assert latest.startswith(f"[Latest sweep]({page}): of 2 runs the best is `lr=0.02 zscore 500`: `t_c = ")
    assert "loss 2.92765" in latest
    assert (bath, mine.strip()) == ("Bath 2.", "Mine, too.")
    assert told.count("sweep.html") == 1
    assert "`loss_gap`: the loss above" in told


@pytest.mark.pictures
def test_a_run_on_its_own_links_its_files(command: Callable[..., int], client: MlflowClient) -> None:
    """Below what came of it stand the report and the pictures, each under its address on any server."""
    assert command("normalization=zscore", "lr=0.1", "epochs=100") == 0
    [run] = recorded(client)
    answer, links = run.data.tags["mlflow.note.content"].split("\n\n")
    assert answer.endswith("Converged.")
    at = f"#/experiments/1/runs/{run.info.run_id}/artifacts"
    names = ["report.html", "fits.png", "graph.png", "loss_curves.png", "loss_surface.png"]
    named = [f"[{name.partition('.')[0].replace('_', ' ')}]({at}/{name}" for name in names]
    assert [link.partition("?")[0] for link in links.split(" · ")] == named
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= set(names)


@pytest.mark.pictures
def test_a_sweep_in_which_everything_diverged_has_its_page_too(
    command: Callable[..., int], client: MlflowClient
) -> None:
    assert command("-m", "lr=1e-2,1e-1", "normalization=none") == 0
    [parent] = [run for run in recorded(client) if is_parent(run)]
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} >= PICTURES
    note = parent.data.tags["mlflow.note.content"]
    assert "2 runs: 2 diverged." in note
    assert "To try next" in note


def test_names_and_columns_tell_runs_apart(
    command: Callable[..., int], client: MlflowClient, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = "epochs=5 lr=1e-4 normalization.factor=0.1,0.05 dtype=float32,float64 model.start.w=0,2"
    assert command("-m", *sweep.split()) == 0
    names = {run.info.run_name for run in recorded(client) if not is_parent(run)}
    assert len(names) == 8
    assert "lr=0.0001 scale ×0.05 5 dtype=float64 start w=2" in names
    _, header, *_ = capfd.readouterr().out.splitlines()
    assert {"normalization_scale", "dtype", "start_w"} <= set(header.split())
    assert "normalization_shift" not in header
