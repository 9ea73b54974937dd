"""Take the README's pictures of MLflow's page again: python -m docs.screenshots

It runs the README's sweep in a temporary folder and opens the address that it prints in a headless Chromium.
"""

import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect

from tests import browser

IMAGES = Path(__file__).with_name("img")
RUNS = 12  # of the README's sweep


def main() -> None:
    """Write img/table.png and img/charts.png."""
    with tempfile.TemporaryDirectory() as name, browser.browser() as chromium:
        path = browser.sweep(Path(name))
        with browser.served(Path(name)) as address, browser.new_page(chromium) as page:
            page.goto(f"{address}{path}")
            _take(page)


def _take(page: Page) -> None:
    page.get_by_role("button", name="Hide banner").click()
    page.mouse.move(0, 0)  # or what moves under it looks pointed at
    expect(browser.cell(page, RUNS - 1, "tags.`outcome`")).to_have_text("diverged")
    page.screenshot(path=IMAGES / "table.png")
    browser.show_curves(page, RUNS)
    page.screenshot(path=IMAGES / "charts.png")


if __name__ == "__main__":
    main()
