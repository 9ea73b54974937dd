"""Functions by their names or dotted paths, and the elementary ones that serve tensors, arrays and floats."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from src import elementary
from src.functions import parameter_names, public, resolve
from src.models import MODELS, linear

ELEMENTARY = public("src.elementary")


@pytest.mark.parametrize("name", ELEMENTARY)
def test_an_elementary_function_serves_tensors_arrays_and_floats(name: str) -> None:
    """Expected: Python's math."""
    function, expected = ELEMENTARY[name], getattr(math, name)(2.5)
    assert function(2.5) == pytest.approx(expected, rel=1e-15)
    assert function(np.array([2.5])) == pytest.approx([expected], rel=1e-15)
    tensor = torch.tensor([2.5], dtype=torch.float64, requires_grad=True)
    found = function(tensor)
    assert found.tolist() == pytest.approx([expected], rel=1e-15)
    found.sum().backward()
    assert tensor.grad is not None


def test_where_there_is_no_value_nothing_is_said() -> None:
    assert math.isnan(elementary.log(-1.0))
    assert np.isnan(elementary.sqrt(np.array([-1.0]))).all()
    assert elementary.exp(1e3) == math.inf


def test_the_elementary_functions_wait_for_nothing() -> None:
    text = "import sys, src.elementary; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", text], check=True)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's file in the current folder, which is not on sys.path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    path = tmp_path / f"mine_{tmp_path.name.replace('-', '_')}.py"
    path.write_text("NUMBER = 3\n\ndef growth(t_u, a, k):\n    return a * t_u**k\n")
    return path


def test_a_bare_name_is_a_shipped_function() -> None:
    assert resolve("linear", MODELS) is linear


def test_a_dotted_path_is_imported_from_the_current_folder_too(mine: Path) -> None:
    before = list(sys.path)
    function = resolve(f"{mine.stem}.growth", MODELS)
    assert parameter_names(function) == ("a", "k")
    assert function(3.0, 2.0, 2) == 18.0
    assert sys.path == before, "for the import alone"
    assert resolve("math.pow", {"pow": linear}) is math.pow


def test_what_is_no_function_is_refused_in_one_line(mine: Path) -> None:
    broken = mine.with_name(f"broken_{mine.name}")
    broken.write_text("raise ValueError('what\\n a mess')\n")
    leaves = mine.with_name(f"leaves_{mine.name}")
    leaves.write_text("import sys\nsys.exit('bye')\n")
    refused = {
        "cubic": f"there is no cubic: there is {', '.join(MODELS)}, or another as module.function",
        "nope.growth": "nope.growth: nope cannot be imported: ModuleNotFoundError: No module named 'nope'",
        f"{broken.stem}.f": f"{broken.stem} cannot be imported: ValueError: what a mess",
        f"{leaves.stem}.f": f"{leaves.stem} cannot be imported: SystemExit: bye",
        f"{mine.stem}.growht": f"{mine.stem} has no growht",
        f"{mine.stem}.NUMBER": f"{mine.stem}.NUMBER is not a function whose arguments have names",
        "time.time": "time.time is not a function whose arguments have names",
        ".": "cannot be imported",
    }  # fmt: skip
    for name, words in refused.items():
        with pytest.raises(LookupError) as caught:
            resolve(name, MODELS)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
