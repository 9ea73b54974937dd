"""The page whose address a sweep prints, in a real browser on MLflow's own server."""

import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from playwright.sync_api import Browser, Page, expect

from src.tracking import reader, view
from src.tracking.ranking import ranked
from src.tracking.selection import Selection
from src.tracking.store import Store
from tests import browser as chromium
from tests.browser import cell, name, show_curves
from tests.test_record import recorded

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not chromium.CHROMIUM, reason=f"no browser here: none of {', '.join(chromium.NAMES)}"),
]

DRAWN = """(chart) => {
    const {xaxis, yaxis} = chart._fullLayout;
    const curves = chart._fullData.map(curve => [curve.name, Array.from(curve.y)]);
    return {x: xaxis.type, y: yaxis.type, range: yaxis.range, curves: Object.fromEntries(curves)};
}"""
IS_WHOLE = "text => text.scrollWidth <= text.clientWidth"  # or the page cuts it


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> tuple[Path, str]:
    """The folder of a sweep, and the path of the page that it printed; another run there is no part of it."""
    folder = tmp_path_factory.mktemp("swept")
    shutil.copy(migrated_store, folder / "mlflow.db")
    path = chromium.sweep(folder)
    client = store_of(folder)
    other = client.create_run(recorded(client)[0].info.experiment_id, run_name="another")
    client.log_metric(other.info.run_id, "loss_gap", 0.0)
    return folder, path


def store_of(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture(scope="module")
def runs(swept: tuple[Path, str]) -> list[Run]:
    """The sweep's runs in the order of table, words and `best`."""
    client = store_of(swept[0])
    runs = {run.info.run_id: run for run in recorded(client) if run.data.params}
    [experiment_id] = {run.info.experiment_id for run in runs.values()}
    order = ranked(reader.runs(Store(client.tracking_uri, client, experiment_id), Selection()))
    return [runs[run.run_id] for run in order]


@pytest.fixture(scope="module")
def link(swept: tuple[Path, str]) -> Iterator[str]:
    folder, path = swept
    with chromium.served(folder) as address:
        yield f"{address}{path}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, link: str) -> Iterator[Page]:
    """What the link opens for somebody who was never there before."""
    with chromium.new_page(browser) as page:
        page.goto(link)
        yield page


def usable(runs: list[Run]) -> list[Run]:
    return [run for run in runs if run.data.tags["outcome"] != "diverged"]


def test_the_link_shows_the_runs_best_first_and_what_matters_of_each(page: Page, runs: list[Run]) -> None:
    assert len(usable(runs)) == 8
    for place, run in enumerate(usable(runs)):
        expect(name(page, place)).to_have_text(run.info.run_name)
        for key in ("rank", "loss_gap", "final_loss", "w", "b"):
            shown = cell(page, place, f"metrics.`{key}`").locator(".ag-cell-value")
            expect(shown).to_have_text(re.compile("[0-9]"))
            number = shown.inner_text()
            assert float(number) == run.data.metrics[key]
            expect(shown).to_be_in_viewport(ratio=0.99)
            assert "e" not in number or shown.evaluate(IS_WHOLE), f"the exponent of {number} is cut"
        for key in ("lr", "normalization", "epochs"):
            shown = cell(page, place, f"params.`{key}`")
            expect(shown).to_have_text(run.data.params[key])
            expect(shown).to_be_in_viewport(ratio=0.99)


def test_a_diverged_run_is_told_at_a_glance(page: Page, runs: list[Run]) -> None:
    """By its outcome, and by MLflow's red mark of a failed run beside its name."""
    outcomes = {run.info.run_name: run.data.tags["outcome"] for run in runs}
    diverged = []
    for place in range(len(runs)):
        outcome = outcomes[name(page, place).inner_text()]
        expect(cell(page, place, "tags.`outcome`")).to_have_text(outcome)
        mark = cell(page, place, "runDateAndNestInfo").locator("svg")
        expect(mark).to_be_in_viewport(ratio=0.99)
        red, green = mark.evaluate("mark => getComputedStyle(mark).color.match(/[0-9]+/g).slice(0, 2)")
        assert (int(red) > int(green)) == (outcome == "diverged")
        diverged.append(outcome == "diverged")
    assert diverged == [False] * 8 + [True] * 4


def test_the_loss_curves_of_all_runs_are_drawn_on_log_axes(page: Page, runs: list[Run]) -> None:
    chart = show_curves(page, len(runs))
    drawn = chart.evaluate(DRAWN)
    assert (drawn["x"], drawn["y"]) == ("log", "log")
    assert set(drawn["curves"]) == {run.info.run_name for run in runs}
    for run in usable(runs):
        assert drawn["curves"][run.info.run_name][-1] == run.data.metrics["loss"]
    expect(chart).to_be_in_viewport(ratio=0.9)
    expect(page.get_by_test_id("experiment-view-compare-runs-section-header")).to_have_count(2)
    expect(page.get_by_role("button", name="Add chart")).to_have_count(1)  # the other section is folded


def test_a_diverged_curve_leaves_the_chart_and_does_not_ruin_it(page: Page, runs: list[Run]) -> None:
    drawn = show_curves(page, len(runs)).evaluate(DRAWN)
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
    assert view.publish(store, "sweep-1", ["w", "b"], []) != plain
    client.delete_experiment_tag(store.experiment_id, "mlflow.sharedViewState.sweep-1")
    assert view.address(store, "sweep-1") == plain
