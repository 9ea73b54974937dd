"""The chapter as a notebook: every cell runs, so that every assertion in it holds."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

CHAPTER = nbformat.read(ROOT / "docs" / "chapter.ipynb", as_version=4)
LONGEST_S = 120


def test_the_notebook_holds_no_outputs() -> None:
    """They would be those of another machine and day; the site runs it for its own."""
    code = [cell for cell in CHAPTER.cells if cell.cell_type == "code"]
    assert len(code) > 20
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


@pytest.mark.slow
def test_every_claim_of_the_chapter_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In two minutes, with nothing on the error stream: no warning is shown to a learner."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    executed = NotebookClient(
        nbformat.from_dict(CHAPTER),
        timeout=LONGEST_S,
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    said = [out for cell in executed.cells for out in cell.get("outputs", []) if out.get("name") == "stderr"]
    assert said == []
    assert list(tmp_path.iterdir()) == []  # the record went to a folder of its own
