"""What the README shows is what happens: its commands, its first screen, its links."""

import io
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch

from docs.settings import with_table
from src import compare, predict, train
from src.loop import training_loop
from tests.conftest import ROOT, working_folder

README = (ROOT / "README.md").read_text()
NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]\d+)?")


def shown(command: str) -> list[str]:
    """The output that the README shows for a command."""
    lines = README.split(f"    $ {command}\n")[1].splitlines()
    end = next(place for place, line in enumerate(lines) if not line.startswith("    "))
    return [line.removeprefix("    ") for line in lines[:end]]


def shape(line: str) -> str:
    """A line without its numbers and addresses: those move between machines, and are tested elsewhere."""
    line = re.sub(r"models:/m-\w+|\b[0-9a-f]{32}\b", "ID", re.sub(r"http\S+|sqlite:[^\s)]+", "URL", line))
    return " ".join(NUMBER.sub("#", line).split())


COMMANDS = re.findall(r"^    \$ python -m (src\..*)$", README, re.MULTILINE)
MODULES: dict[str, Callable[[], int]] = {
    "src.train": train.command,
    "src.compare": compare.command,
    "src.predict": predict.command,
}


@pytest.fixture(scope="module")
def session(
    tmp_path_factory: pytest.TempPathFactory, migrated_store: Path
) -> dict[str, tuple[int, list[str]]]:
    """The README's commands, one after the other in one folder: exit code and lines of each."""
    told = {}
    with pytest.MonkeyPatch.context() as patch:
        working_folder(tmp_path_factory.mktemp("readme"), patch)
        shutil.copy(migrated_store, "mlflow.db")
        Path("mine.csv").write_text("volt,celsius\n1.0,5\n2.0,abc\n,9\n")
        for line in COMMANDS:
            module, *args = shlex.split(line)
            patch.setattr(sys, "argv", [module, *args])
            out, err = io.StringIO(), io.StringIO()
            with redirect_stdout(out), redirect_stderr(err):
                code = MODULES[module]()
            told[line] = code, (err.getvalue() + out.getvalue()).splitlines()
    return told


PLAIN = re.findall(r"^    python -m (src\..*)$", README, re.MULTILINE)


@pytest.mark.parametrize("line", PLAIN)
def test_a_command_without_output_runs_as_shown(
    line: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a `mine.csv` with these columns and the `mine.py` that the README shows."""
    rows = "".join(f"{volt},{3 * volt - 10 + volt % 3}\n" for volt in range(1, 36))
    (folder / "mine.csv").write_text(f"volt,celsius\n{rows}")
    (folder / "mine.py").write_text("\n".join(shown_file("mine.py")))
    module, *args = shlex.split(line)
    monkeypatch.setattr(sys, "argv", [module, *args])
    assert MODULES[module]() == 0


def shown_file(name: str) -> list[str]:
    """The lines of a file that the README shows, from the comment with its name."""
    lines = README.split(f"    # {name}\n")[1].splitlines()
    end = next(place for place, line in enumerate(lines) if line and not line.startswith("    "))
    return [line.removeprefix("    ") for line in lines[:end] if not line.startswith("    python -m ")]


def test_the_settings_are_those_of_the_list() -> None:
    assert with_table(README) == README, "make settings"


def test_help_lists_every_setting(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Key, default and what it may be, as the README's table has them, and nothing of what is filled in."""
    monkeypatch.setattr(sys, "argv", ["train", "--help"])
    assert train.command() == 0
    told = " ".join(capfd.readouterr().out.split())
    rows = [row.strip("|").split(" | ") for row in README.splitlines() if row.startswith("| `")]
    settings = [row for row in rows if len(row) == 3]
    assert len(settings) > 20
    for key, default, text in settings:
        default = default.strip("` ")
        assert f"{key.strip('` ')} {text.strip()}{f' [{default}]' if default else ''}" in told
    assert " origin." not in told


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_prints_what_the_readme_shows(line: str, session: dict[str, tuple[int, list[str]]]) -> None:
    code, lines = session[line]
    expected = shown(f"python -m {line}")
    assert code == (2 if expected[0].startswith("error: ") else 0)
    assert list(map(shape, lines)) == list(map(shape, expected))


def test_the_tour_comes_in_its_order() -> None:
    tour = ["## Sweep", "## See", "## Compare", "## Predict", "## Serve"]
    assert re.findall(r"^## (?:Sweep|See|Compare|Predict|Serve)$", README, re.MULTILINE) == tour


def test_the_first_screen_holds_the_two_commands() -> None:
    lines = README.splitlines()[:25]
    assert sum(line.startswith("    python3 -m venv .venv && ") for line in lines) == 2
    assert any(line.endswith("-m src.train -m lr=1e-2,1e-3") for line in lines)
    assert any(line.endswith(".venv/bin/pytest") for line in lines)


def test_the_loop_called_as_the_readme_calls_it_gives_what_it_shows(
    t_u: torch.Tensor, t_c: torch.Tensor
) -> None:
    params = training_loop(500, 1e-2, torch.tensor([1.0, 0.0], requires_grad=True), 0.1 * t_u, t_c)
    [numbers] = re.findall(r"^    tensor\(\[(.*)\]\)$", README, re.MULTILINE)
    assert params.tolist() == pytest.approx([float(number) for number in numbers.split(",")], abs=1e-4)


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "docs/decisions/README.md", "benchmarks/README.md"]
)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / target).exists(), target
