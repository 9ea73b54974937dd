"""The README's sweep, MLflow's server on it and a browser: for test_browser.py and docs/screenshots.py."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.conftest import ROOT
from tests.test_processes import wait_for_server

SWEEP = ("-m", "lr=1e-2,1e-3", "normalization=none,scale,zscore", "epochs=500,5000")
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 120_000  # for a busy machine; what is waited for is always a fact
ASSISTANT_SEEN = "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1"
CHART = ".js-plotly-plot"
HAS_CURVES = """(count) => {
    const curves = document.querySelector('.js-plotly-plot')._fullData ?? [];
    return new Set(curves.map(curve => curve.name)).size === count;
}"""


def sweep(folder: Path) -> tuple[str, str]:
    """Run the sweep in a folder; the paths, on whatever server, of the page and the table that it prints."""
    unset = ("MLFLOW_TRACKING_URI", "HYDRA_FULL_ERROR", "CALIBRATION_SWEEP_DIR")
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    shutil.copytree(ROOT / "data", folder / "data")
    output = subprocess.run(
        [sys.executable, "-m", "src.train", *SWEEP],
        cwd=folder, env=environment | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    [page, table] = re.findall(r"^(?:page|table) +http://[^/]+(/#/\S+)", output, re.MULTILINE)
    return str(page), str(table)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """`mlflow server` on a folder's store; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"],
        cwd=folder,
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for_server(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # its workers, too; nothing of it is needed any more
        server.wait()


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium, the system's own."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield chromium
        finally:
            chromium.close()


@contextmanager
def new_page(browser: Browser, is_first_visit: bool = True) -> Iterator[Page]:
    """A page, 1440 wide; on a first visit MLflow opens its assistant by itself, later it does not."""
    context = browser.new_context(viewport={"width": 1440, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    if not is_first_visit:
        context.add_init_script(f"localStorage.setItem('{ASSISTANT_SEEN}', 'true')")
    try:
        yield context.new_page()
    finally:
        context.close()


def cell(page: Page, place: int, column: str) -> Locator:
    """A cell of the table of runs, whose topmost run has place 0."""
    return page.locator(f".ag-row[row-index='{place}'] [col-id='{column}']")


def name(page: Page, place: int) -> Locator:
    """The name of a run in the table."""
    return cell(page, place, "attributes.`Run Name`").get_by_role("link")


def show_curves(page: Page, count: int) -> Locator:
    """The loss chart, a click away from the table, once so many runs' curves are in it."""
    page.locator("label:has(input[name='runs-view-mode'][value='CHART'])").click()
    chart = page.locator(CHART).first
    expect(chart).to_be_visible()
    page.wait_for_function(HAS_CURVES, arg=count)
    return chart
