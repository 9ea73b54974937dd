"""What a command waits for: nothing is imported that a plain run or sweep does not need."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Runs the command given, and prints which watched modules are there as training begins, ends and later.
SCRIPT = """
import json, sys
from src import pipeline, train

watched, arguments = json.loads(sys.argv[1]), sys.argv[2:]
calibrate, there = pipeline.calibrate, []

def look():
    there.append([name for name in watched if name in sys.modules])

def looked_at(*args):
    look()
    found = calibrate(*args)
    look()
    return found

pipeline.calibrate = looked_at
sys.argv = ["src/train.py", *arguments]
code = train.command()
look()
print(json.dumps(there))
sys.exit(code)
"""

COMPILER = ["torch._dynamo", "sympy"]  # what torch.func and a vector given to torch.autograd.grad import
LATER = ["matplotlib", "rich.progress"]  # for figures, and for who watches
SEARCHES = ["scipy.optimize", "scipy.special"]  # for a best fit without a closed form, for probabilities

SWEEP = ["-m", "lr=1e-2,1e-1"]

pytestmark = pytest.mark.slow


def modules_there(folder: Path, watched: list[str], *arguments: str) -> list[list[str]]:
    """Which of the modules are there when training begins, when it has ended, and when all is shown."""
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(watched), *arguments],
        cwd=folder,
        env={"PATH": "", "HOME": str(folder), "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert process.returncode == 0, process.stderr
    found: list[list[str]] = json.loads(process.stdout.splitlines()[-1])
    return found


def test_what_a_line_under_squares_waits_for(folder: Path) -> None:
    """Neither for a search, nor a compiler, nor figures; its p-values need scipy.special, at the end."""
    began, ended, _ = modules_there(
        folder, [*COMPILER, *LATER, *SEARCHES], *SWEEP, "epochs=2000", "normalization=zscore"
    )
    assert began == []
    assert ended == ["scipy.special"]


def test_no_search_waits_for_a_compiler(folder: Path) -> None:
    """Derivatives that a search asks for are gradients of sums."""
    choices = ("model=linear,power", "loss=mse,huber,mae")
    there = modules_there(folder, COMPILER, *SWEEP, "epochs=50", "normalization=scale", *choices)
    assert there == [[], [], []]


def test_what_a_run_on_its_own_leaves_out(folder: Path) -> None:
    """It shows no table and has no page: only what draws its figures is there at the end."""
    *_, shown = modules_there(folder, ["matplotlib", "rich", "markdown_it"])
    assert shown == ["matplotlib"]
