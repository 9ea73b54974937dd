"""The addresses that a sweep prints, in a real browser on MLflow's own server."""

import math
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from playwright.sync_api import Browser, Page, expect

from src.report import document
from src.report.comparison import Comparison
from src.tracking import reader, view
from src.tracking.ranking import ranked
from src.tracking.record import TrackedRun
from src.tracking.selection import Selection
from src.tracking.store import Store
from tests import browser as chromium
from tests.browser import cell, name, show_curves
from tests.record import is_parent, recorded

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not chromium.CHROMIUM, reason=f"no browser here: none of {', '.join(chromium.NAMES)}"),
]

DRAWN = """(chart) => {
    const {xaxis, yaxis} = chart._fullLayout;
    const curves = chart._fullData.map(curve => [curve.name, Array.from(curve.y)]);
    return {x: xaxis.type, y: yaxis.type, range: yaxis.range, curves: Object.fromEntries(curves)};
}"""

CELLS = "cells => cells.map(cell => [cell.getAttribute('tabulator-field'), cell.textContent])"
COUNT = 10_000
SPENT = """column => {
    const begun = performance.now();
    document.querySelector(`.tabulator-col[tabulator-field='${column}'] .tabulator-col-sorter`).click();
    document.body.getBoundingClientRect();
    return performance.now() - begun;
}"""
MODE = "workflowType=machine_learning"
DESCRIPTION = "attributes.`Description`"


@dataclass(frozen=True)
class Swept:
    """A sweep's folder, the server on it, and the paths there of the page and the table that it printed."""

    folder: Path
    server: str
    page: str
    table: str


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Iterator[Swept]:
    """Another run there is no part of the sweep."""
    folder = tmp_path_factory.mktemp("swept")
    shutil.copy(migrated_store, folder / "mlflow.db")
    page, table = chromium.sweep(folder)
    client = store_of(folder)
    other = client.create_run(recorded(client)[0].info.experiment_id, run_name="another")
    client.log_metric(other.info.run_id, "loss_gap", 0.0)
    with chromium.served(folder) as server:
        yield Swept(folder, server, page, table)


def store_of(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture(scope="module")
def runs(swept: Swept) -> list[Run]:
    """The sweep's runs in the order of table, words and `best`."""
    client = store_of(swept.folder)
    runs = {run.info.run_id: run for run in recorded(client) if not is_parent(run)}
    [experiment_id] = {run.info.experiment_id for run in runs.values()}
    order = ranked(reader.runs(Store(client.tracking_uri, client, experiment_id), Selection()))
    return [runs[run.run_id] for run in order]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Of somebody who was never there before."""
    with chromium.new_page(browser) as page:
        yield page


@pytest.fixture
def table(browser: Browser, swept: Swept) -> Iterator[Page]:
    """What the table's address opens for somebody who has closed the assistant."""
    with chromium.new_page(browser, is_first_visit=False) as page:
        page.goto(f"{swept.server}{swept.table}")
        yield page


def usable(runs: list[Run]) -> list[Run]:
    return [run for run in runs if run.data.tags["outcome"] != "diverged"]


def shown(page: Page, place: int) -> dict[str, str]:
    """A row of the table of sweep.html, by column, in MLflow's frame."""
    row = page.frame_locator("iframe").locator(".tabulator-row").nth(place)
    expect(row).to_be_visible()
    return dict(row.locator(".tabulator-cell").evaluate_all(CELLS))


def assert_answered(page: Page, runs: list[Run]) -> None:
    """Which run is best, why, and the ranked table with its numbers, as on the screen."""
    frame = page.frame_locator("iframe")
    best = usable(runs)[0]
    words = frame.locator(".words")
    expect(words).to_contain_text(f"Best is {best.info.run_name}: t_c = 0.53675")
    expect(words).to_contain_text("of the exact optimum.")
    expect(words).to_contain_text("lr 0.001 is 2.9 times the limit")
    expect(words.locator("p").first).to_be_in_viewport(ratio=0.99)
    for place, run in enumerate(runs):
        row, metrics = shown(page, place), run.data.metrics
        is_usable = run.data.tags["outcome"] != "diverged"
        assert row["run id"] == run.info.run_id
        assert row["#"] == str(place + 1)
        assert row["loss"] == (f"{metrics['final_loss']:.6g}" if is_usable else "")
        assert row["loss_gap"] == (f"{metrics['loss_gap']:.6g}" if is_usable else "")
    assert row["outcome"] == "diverged at epoch 11"


def test_the_page_answers_by_itself(page: Page, swept: Swept, runs: list[Run]) -> None:
    page.goto(f"{swept.server}{swept.page}")
    assert_answered(page, runs)


def test_the_answer_is_there_after_f5_and_from_a_copied_address(
    page: Page, browser: Browser, swept: Swept, runs: list[Run]
) -> None:
    page.goto(f"{swept.server}{swept.page}")
    expect(page.frame_locator("iframe").locator(".tabulator-row").first).to_be_visible()
    page.reload()
    assert_answered(page, runs)
    with chromium.new_page(browser) as another:
        another.goto(page.url)
        assert_answered(another, runs)


def test_all_links_open_in_the_right_mode(browser: Browser, swept: Swept) -> None:
    """Those printed, those in the descriptions of experiment and parent, and those of the file sweep.html."""
    client = store_of(swept.folder)
    [parent] = [run for run in recorded(client) if run.data.tags.get("sweep") and is_parent(run)]
    file = Path(client.download_artifacts(parent.info.run_id, "sweep.html")).as_uri()
    experiment = client.get_experiment(parent.info.experiment_id)
    notes = [each.tags["mlflow.note.content"] for each in (experiment, parent.data)]
    linked = re.findall(r"\]\((#/\S+)\)", "\n".join(notes))
    assert len(linked) == 3  # page, table, model
    with chromium.new_page(browser) as page:
        page.goto(file)
        anchors = page.locator("a[href^='http']").evaluate_all("all => all.map(each => each.href)")
    assert len(anchors) == 12 + 2
    of_file = [anchor.removeprefix("http://127.0.0.1:5000") for anchor in anchors[:4]]
    for path in (swept.page, swept.table, *(f"/{link}" for link in linked), *of_file):
        with chromium.new_page(browser) as page:  # who was in another mode last would see that
            page.goto(f"{swept.server}{path}")
            expect(page.locator(f"a[href$='/models?{MODE}']")).to_be_visible()
            expect(page.locator("a[href*='chat-sessions']")).to_have_count(0)  # the other mode has these


def test_the_table_has_the_answer_first_and_the_runs_in_their_order(table: Page, runs: list[Run]) -> None:
    """In digits for people: those of each run's description."""
    expect(name(table, 0)).to_have_text(re.compile("^sweep lr="))
    best = usable(runs)[0]
    expect(cell(table, 0, DESCRIPTION)).to_contain_text(f"Best is `{best.info.run_name}`: `t_c = 0.53675")
    for place, run in enumerate(runs[:8], start=1):
        expect(name(table, place)).to_have_text(run.info.run_name)
        expect(cell(table, place, "metrics.`rank`")).to_have_text(str(place))
        told = cell(table, place, DESCRIPTION)
        expect(told).to_contain_text(
            f"Loss {run.data.metrics['final_loss']:.6g}: `t_c = {run.data.metrics['w']:.6g} * t_u"
        )
    for place in range(9, 13):
        expect(cell(table, place, DESCRIPTION)).to_contain_text(re.compile("^Diverged at epoch .*: lr 0.0"))


def test_no_column_is_hidden_on_a_first_visit(page: Page, swept: Swept) -> None:
    """When MLflow's assistant opens by itself, over a quarter of the window."""
    page.goto(f"{swept.server}{swept.table}")
    expect(page.get_by_text("MLflow Assistant")).to_be_visible()
    expect(cell(page, 1, DESCRIPTION)).to_be_visible()
    headers = page.locator(".ag-header-cell[col-id]")
    columns = {header.get_attribute("col-id") for header in headers.all()}
    assert columns >= {"metrics.`rank`", "tags.`outcome`", DESCRIPTION, "duration"}
    for header in headers.all():
        expect(header).to_be_in_viewport(ratio=0.98)
    assistant = page.get_by_text("MLflow Assistant").bounding_box()
    assert assistant
    for column in (DESCRIPTION, "duration"):
        box = cell(page, 1, column).bounding_box()
        assert box
        assert box["x"] + box["width"] <= assistant["x"]


def test_a_diverged_run_is_told_at_a_glance(table: Page, runs: list[Run]) -> None:
    """By its outcome, and by MLflow's red mark of a failed run beside its name."""
    outcomes = {run.info.run_name: run.data.tags["outcome"] for run in runs}
    diverged = []
    for place in range(1, len(runs) + 1):
        outcome = outcomes[name(table, place).inner_text()]
        expect(cell(table, place, "tags.`outcome`")).to_have_text(outcome)
        mark = cell(table, place, "runDateAndNestInfo").locator("svg")
        mark.scroll_into_view_if_needed()  # where the window is not high enough for all
        expect(mark).to_be_in_viewport(ratio=0.99)
        red, green = mark.evaluate("mark => getComputedStyle(mark).color.match(/[0-9]+/g).slice(0, 2)")
        assert (int(red) > int(green)) == (outcome == "diverged")
        diverged.append(outcome == "diverged")
    assert diverged == [False] * 8 + [True] * 4


def test_the_loss_curves_of_all_runs_are_drawn_on_log_axes(table: Page, runs: list[Run]) -> None:
    chart = show_curves(table, len(runs))
    drawn = chart.evaluate(DRAWN)
    assert (drawn["x"], drawn["y"]) == ("log", "log")
    assert set(drawn["curves"]) == {run.info.run_name for run in runs}
    for run in usable(runs):
        assert drawn["curves"][run.info.run_name][-1] == run.data.metrics["loss"]
    expect(chart).to_be_in_viewport(ratio=0.9)
    expect(table.get_by_test_id("experiment-view-compare-runs-section-header")).to_have_count(2)
    expect(table.get_by_role("button", name="Add chart")).to_have_count(1)  # the other section is folded


def test_a_diverged_curve_leaves_the_chart_and_does_not_ruin_it(table: Page, runs: list[Run]) -> None:
    drawn = show_curves(table, len(runs)).evaluate(DRAWN)
    lowest, highest = drawn["range"]  # in decades
    low, high = 10**lowest, 10**highest
    for run in usable(runs):
        curve = drawn["curves"][run.info.run_name]
        assert low < min(curve)
        assert max(curve) < high
    for run in runs[len(usable(runs)) :]:
        curve = drawn["curves"][run.info.run_name]
        assert low < curve[0] < high < curve[-1]
    # from the start of the z-scored runs to the exact optimum's loss: plain to see
    assert math.log10(171.16 / 2.9276) > 0.4 * (highest - lowest)


def test_a_sweep_whose_view_is_gone_still_has_its_table(folder: Path, client: MlflowClient) -> None:
    store = Store(f"sqlite:///{folder / 'mlflow.db'}", client, client.create_experiment("mine"))
    plain = store.sweep_page("sweep-1")
    assert "orderByKey=metrics.%60loss_gap%60&orderByAsc=true" in plain
    assert view.address(store, "sweep-1") == plain
    assert view.publish(store, "sweep-1", []) != plain
    client.delete_experiment_tag(store.experiment_id, "mlflow.sharedViewState.sweep-1")
    assert view.address(store, "sweep-1") == plain


def test_ten_thousand_rows_are_sorted_and_filtered(page: Page, folder: Path, client: MlflowClient) -> None:
    """Opened as a file; a sort takes some tenths of a second, and two on a busy machine."""
    store = Store(client.tracking_uri, client, "1")
    runs = [
        TrackedRun(
            f"{place:032x}", f"run {place}", "FINISHED", {"lr": repr(place / 1e4), "normalization": "zscore"},
            {"final_loss": float(place * 7919 % COUNT), "loss_gap": 1e-9 * place},
            {"outcome": "diverged" if place % 10 == 0 else "converged", "reason": f"reason {place % 10}"},
        )
        for place in range(1, COUNT + 1)
    ]  # fmt: skip
    text = "".join(document.as_html(Comparison(store, "", runs), [""], [], {}))
    (folder / "sweep.html").write_text(text, "utf-8")
    page.goto((folder / "sweep.html").as_uri())
    row, count = page.locator(".tabulator-row").first, page.locator("#count-0")
    expect(count).to_have_text("10,000 runs")
    spent_ms = page.evaluate(SPENT, "loss")
    by_loss = sorted((run.metrics["final_loss"], run.name) for run in runs if run.outcome != "diverged")
    expect(row.locator("[tabulator-field='run']")).to_have_text(by_loss[0][1])
    page.locator(".tabulator-col[tabulator-field='loss'] .tabulator-col-title").click()
    expect(row.locator("[tabulator-field='run']")).to_have_text(by_loss[-1][1])
    assert page.locator(".tabulator-row").count() < 200, "or they are all in the page"

    def filter(column: str, text: str) -> None:
        box = page.locator(f".tabulator-col[tabulator-field='{column}'] input")
        box.clear()
        box.press_sequentially(text)
        box.press("Enter")

    filter("lr", "<0.1 >= 0.05")
    expect(count).to_have_text("500 of 10,000 runs")
    filter("outcome", "diverg")
    expect(count).to_have_text("50 of 10,000 runs")
    filter("lr", "")
    filter("outcome", "")
    filter("loss_gap", "1.234e-06")
    expect(row.locator("[tabulator-field='run']")).to_have_text("run 1234")
    assert spent_ms < 2000
