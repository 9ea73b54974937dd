"""A fingerprint is of what decides a run's numbers, the code that computes them included."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from src.fit.code import _collect, code_digest
from src.loop import training_loop
from src.models import MODELS

MINE = """
import torch
from beside import half
HEIGHT = 2.0
TABLE = {"first": [1.0, torch.tensor([4.0])], "kinds": {"b", "a"}}
SHAPES = (abs, lambda x: x)

def scaled(x):
    return HEIGHT * x * TABLE["first"][1] * len(SHAPES)

def mine(t_u, w, b):
    \"\"\"A line.\"\"\"
    return w * scaled(half(t_u)) + b  # twice the half
"""
BESIDE = """
def half(x):
    return x / 2
"""


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Of `mine`, in a file in which `old` was edited to `new`."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def of(old: str = "", new: str = "") -> str:
        for name, text in (("mine_own", MINE), ("beside", BESIDE)):
            (tmp_path / f"{name}.py").write_text(text.replace(old, new) if old else text)
            sys.modules.pop(name, None)
        code_digest.cache_clear()
        importlib.invalidate_caches()
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        return code_digest(importlib.import_module("mine_own").mine)

    yield of
    for name in ("mine_own", "beside"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("half(t_u)) + b", "half(t_u)) - b"),
        ("HEIGHT = 2.0", "HEIGHT = 3.0"),
        ("HEIGHT * x", "x"),
        ("[1.0,", "[2.0,"),
        ("tensor([4.0])", "tensor([5.0])"),
        ('"b", "a"', '"b", "c"'),
        ("x / 2", "x / 3"),
    ],
)
def test_an_edited_function_is_another(digest: Callable[..., str], old: str, new: str) -> None:
    """Its own code, a number, a table or a function that it uses, one in a file beside it."""
    assert digest(old, new) != digest()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# twice the half", "# once"),
        ("A line.", "Another."),
        ("def scaled", "OTHER = 1\n\ndef scaled"),
        ("w * ", "w   *   "),
        ('"b", "a"', '"a", "b"'),
    ],
)
def test_what_computes_nothing_changes_nothing(digest: Callable[..., str], old: str, new: str) -> None:
    assert digest(old, new) == digest()


def test_the_loops_code_counts() -> None:
    """With all that it calls: of the chapter's step alone it knows nothing."""
    found: dict[str, str] = {}
    _collect(training_loop, found)
    names = {name.removeprefix("src.") for name in found}
    assert {"loop.training_loop", "loop.step", "loop.LossCurves", "steps.captured.Captured"} <= names
    found.clear()
    _collect(MODELS["exponential"], found)
    assert "src.elementary.exp" in found
