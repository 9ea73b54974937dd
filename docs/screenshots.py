"""Take the README's pictures of MLflow's page again: python -m docs.screenshots

It runs the README's sweep in a temporary folder and opens what it prints in a headless Chromium.
"""

import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect

from tests import browser

IMAGES = Path(__file__).with_name("img")
RUNS = 12  # of the README's sweep


def main() -> None:
    """Write img/page.png and img/charts.png."""
    with tempfile.TemporaryDirectory() as name, browser.browser() as chromium:
        answer, table = browser.sweep(Path(name))
        with (
            browser.served(Path(name)) as address,
            browser.new_page(chromium, is_first_visit=False) as page,
        ):
            page.goto(f"{address}{answer}")
            expect(page.frame_locator("iframe").locator(".tabulator-row")).to_have_count(RUNS)
            page.get_by_text("Path: /").evaluate("path => { path.style.visibility = 'hidden'; }")
            page.screenshot(path=IMAGES / "page.png")
            page.goto(f"{address}{table}")
            _take_curves(page)


def _take_curves(page: Page) -> None:
    page.get_by_role("button", name="Hide banner").click()
    page.mouse.move(0, 0)  # or what moves under it looks pointed at
    expect(browser.cell(page, RUNS, "tags.`outcome`")).to_have_text("diverged")
    browser.show_curves(page, RUNS)
    page.screenshot(path=IMAGES / "charts.png")


if __name__ == "__main__":
    main()
