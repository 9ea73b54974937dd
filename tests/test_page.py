"""The files that a sweep's page holds."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from src.report import table
from src.tracking.record import TrackedRun
from tests.conftest import ROOT
from tests.test_record import recorded

GRID = ("-m", "lr=1e-2,1e-3", "normalization=none,zscore", "epochs=50,500")
PICTURES = {"loss_curves.png", "loss_gap.png", "fits.png", "graph.png"}
OF_A_RUN = {"loss_curves.png", "loss_surface.png", "fits.png", "graph.png"}


class Cells(HTMLParser):
    """The texts of a page's table, row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.within = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        del attrs
        if tag == "tr":
            self.rows.append([])
        self.within = tag in ("td", "th")
        if self.within:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.within = self.within and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.within:
            self.rows[-1][-1] += data


@pytest.fixture
def page(command: Callable[..., int], client: MlflowClient, tmp_path: Path) -> Path:
    """The artifacts of a sweep's parent, downloaded."""
    assert command(*GRID) == 0
    [parent] = [run for run in recorded(client) if not run.data.params]
    (tmp_path / "page").mkdir()
    client.download_artifacts(parent.info.run_id, "", str(tmp_path / "page"))
    return tmp_path / "page"


def test_table_figures_words_and_config_are_there(page: Path) -> None:
    names = {path.name for path in page.iterdir()}
    assert names == {"runs.csv", "runs.html", "note.md", "sweep.yaml", "observations.csv", *PICTURES}
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


def test_the_html_table_says_what_the_csv_says(page: Path) -> None:
    runs = pd.read_csv(page / "runs.csv", keep_default_na=False, na_values={"loss_gap": ""})
    header, *rows = Cells((page / "runs.html").read_text("utf-8")).rows
    assert len(rows) == len(runs) == 8
    for cells, (_, run) in zip(rows, runs.iterrows(), strict=True):
        row = dict(zip(header, cells, strict=True))
        assert row["run id"] == run["run_id"]
        assert float(row["lr"]) == run["lr"]
        assert row["normalization"] == run["normalization"]
        assert row["outcome"].startswith(run["outcome"])
        assert row["reason"] == run["reason"]
        if run["outcome"] != "diverged":
            assert float(row["loss_gap"]) == pytest.approx(run["loss_gap"], rel=1e-5)


def test_the_html_table_holds_a_thousand_rows_and_says_what_it_leaves_out() -> None:
    tags = {"outcome": 'stopped"><b>', "reason": "<b>&"}
    runs = [
        TrackedRun(f"{i:032x}", "run", "FINISHED", {"lr": str(i)}, {"loss": 1.0}, tags) for i in range(1500)
    ]
    page = table.as_html({"": runs}, "a <title>")
    assert len(Cells(page).rows) == 1001
    assert "and 500 more" in page
    assert "<b>" not in page
    assert "<title>a &lt;title&gt;</title>" in page


def test_a_single_run_has_its_pictures_and_its_model(
    command: Callable[..., int], client: MlflowClient
) -> None:
    assert command("epochs=5") == 0
    [run] = recorded(client)
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == OF_A_RUN
    assert len(run.outputs.model_outputs) == 1


def test_a_diverged_run_has_its_pictures_and_no_model(
    command: Callable[..., int], client: MlflowClient, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command("normalization=none", "register=thermometer") == 0
    [run] = recorded(client)
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == OF_A_RUN
    assert not run.outputs.model_outputs
    assert client.search_registered_models() == []
    assert "nothing is registered as thermometer" in capfd.readouterr().out


def test_the_best_runs_model_is_registered_when_asked(
    command: Callable[..., int], client: MlflowClient
) -> None:
    """Of the four points on zscore one converges."""
    assert command(*GRID, "register=thermometer") == 0
    [best] = recorded(client, "tags.outcome = 'converged'")
    [version] = client.search_model_versions("name = 'thermometer'")
    assert version.run_id == best.info.run_id


def test_descriptions_on_experiment_parent_and_runs(
    command: Callable[..., int], client: MlflowClient
) -> None:
    assert command(*GRID) == 0
    assert "loss_gap" in client.get_experiment_by_name("thermometer").tags["mlflow.note.content"]
    notes = {run.info.run_name: run.data.tags["mlflow.note.content"] for run in recorded(client)}
    assert len(notes) == 9
    assert re.match(
        r"`t_c = 0\.53\d+ \* t_u - 17\.\d+`: loss 2\.92\d+, .* Converged\.", notes["lr=0.01 zscore 500"]
    )
    told = "epoch 50: 370 epochs are enough, fewer with a larger lr, up to 0.5."  # the fastest
    assert told in notes["lr=0.01 zscore 50"]
    assert notes["lr=0.01 none 50"].startswith("Diverged at epoch 11: lr 0.01 is 29 times the limit")
    assert notes[next(name for name in notes if name.startswith("sweep "))].startswith("8 runs: ")


def test_a_sweep_in_which_everything_diverged_has_its_page_too(
    command: Callable[..., int], client: MlflowClient
) -> None:
    assert command("-m", "lr=1e-2,1e-1", "normalization=none") == 0
    [parent] = [run for run in recorded(client) if not run.data.params]
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} >= PICTURES
    note = parent.data.tags["mlflow.note.content"]
    assert "2 runs: 2 diverged." in note
    assert "To try next" in note


def test_names_and_columns_tell_runs_apart(
    command: Callable[..., int], client: MlflowClient, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = "epochs=5 lr=1e-4 normalization.factor=0.1,0.05 dtype=float32,float64 model.start.w=0,2"
    assert command("-m", *sweep.split()) == 0
    names = {run.info.run_name for run in recorded(client) if run.data.params}
    assert len(names) == 8
    assert "lr=0.0001 scale ×0.05 5 dtype=float64 start w=2" in names
    header, *_ = capfd.readouterr().out.splitlines()
    assert {"normalization_scale", "dtype", "start_w"} <= set(header.split())
    assert "normalization_shift" not in header
