"""Every command on a page of the docs runs, in the page's order, with the files that the page shows."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from mlflow import MlflowClient

from src.__main__ import COMMANDS, main
from src.workplace import Process
from tests.conftest import ROOT
from tests.test_resume import cut_short, gone, sweeps
from tests.test_serve import Server, free_port, stop

__all__ = ["gone"]  # a fixture
pytestmark = pytest.mark.slow

DOCS = ROOT / "docs"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
TYPED = re.compile(r"^[ $]*(?:calibrate|mlflow|curl|export|python|pip)\b.*\w", re.MULTILINE)

Page = list[tuple[str, str, str]]  # its blocks: language, title, text


def blocks(page: Path) -> Page:
    return BLOCK.findall(page.read_text("utf-8"))


PAGES = {str(page.relative_to(DOCS)): blocks(page) for page in sorted(DOCS.rglob("*.md"))}
WITH_COMMANDS = [name for name, page in PAGES.items() if any(language == "sh" for language, *_ in page)]


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[[str], str]]:
    """Starts `mlflow models serve ... --port 5001`, on a port that is free; which one."""
    started: list[Server] = []

    def start(line: str) -> str:
        port = str(free_port())
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        log = folder / "serve.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *shlex.split(line.replace("5001", port))],
                env=os.environ | {"PATH": path},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        started.append(Server(f"http://127.0.0.1:{port}", process, log))
        started[-1].wait_until_up()
        return port

    yield start
    for server in started:
        stop(server.process)


def calibrate(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """`calibrate ...` in this process: the exit code."""
    line, _, into = line.partition(" > ")
    monkeypatch.setattr(sys, "argv", shlex.split(line))
    if not into:
        return main()
    with Path(into).open("w") as file, redirect_stdout(file):
        return main()


@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_every_command_of_a_page_runs(
    name: str,
    folder: Path,
    client: MlflowClient,
    gone: Process,
    serve: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each ends with exit code 0. Before one that goes on with a sweep, the sweep is cut short."""
    port = "5001"
    for language, title, text in PAGES[name]:
        if title:
            (folder / title).write_text(text)
        for line in text.splitlines() if language == "sh" else ():
            command, _, rest = line.partition(" ")
            if "resume=" in rest:
                cut_short(folder, sweeps(client)[0], gone)
            if command == "calibrate":
                assert calibrate(line, monkeypatch) == 0, line
            elif command == "export":
                monkeypatch.setenv(*rest.split("=", 1))
            elif command == "mlflow":
                port = serve(line)
            else:
                subprocess.run(["bash", "-ec", line.replace("5001", port)], check=True)
    assert not list(folder.glob("*.h")) or "static inline float" in (folder / "calibration.h").read_text()


def test_the_simulation_runs_that_the_rates_are_from() -> None:
    """In short; what it prints has the rows of the page's table."""
    page = (DOCS / "trust.md").read_text("utf-8")
    [command] = re.findall(r"`python -m (simulations\.\w+)`", page)
    done = subprocess.run(
        [sys.executable, "-m", command, "--sets", "20"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    rows = re.compile(r"^(\| (?:interval|direct|inverse) \|.*?\|.*?\|)", re.MULTILINE)
    assert rows.findall(done.stdout) == rows.findall(page)
    assert len(rows.findall(page)) > 4


def test_every_command_stands_in_a_block() -> None:
    """So that none escapes the test above; every command of the project is shown."""
    assert len(WITH_COMMANDS) >= 8
    shown = [text for page in PAGES.values() for language, _, text in page if language == "sh"]
    assert all(any(f"calibrate {command}" in text for text in shown) for command in COMMANDS)
    for page in (DOCS / "how-to").glob("*.md"):
        assert not TYPED.findall(BLOCK.sub("", page.read_text("utf-8"))), page


def test_the_python_shown_with_the_functions_runs() -> None:
    """It trains the chapter's run; the parameters are the chapter's."""
    [(_, _, text)] = [block for block in PAGES["reference/functions.md"] if block[0] == "python"]
    names: dict[str, object] = {}
    exec(text, names)
    assert names["params"].tolist() == pytest.approx([5.3671, -17.3012], abs=5e-5)  # type: ignore[attr-defined]
