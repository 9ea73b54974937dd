"""The chapter as a notebook, as it is kept. That its claims hold, test_site.py and test_wheel.py find out."""

import re

import nbformat

from tests.conftest import ROOT

CHAPTER = nbformat.read(ROOT / "docs" / "chapter.ipynb", as_version=4)
CODE = [cell for cell in CHAPTER.cells if cell.cell_type == "code"]


def test_the_notebook_holds_no_outputs() -> None:
    """They would be those of another machine and day; the site runs it for its own."""
    assert len(CODE) > 20
    assert all(cell.outputs == [] and cell.execution_count is None for cell in CODE)


def test_every_section_asserts_something() -> None:
    """Sections by their headings, but for the last, which is of what is not here."""
    sections: list[list[str]] = []
    for cell in CHAPTER.cells:
        if cell.cell_type == "markdown" and re.search(r"^## ", cell.source, re.MULTILINE):
            sections.append([])
        elif cell.cell_type == "code" and sections:
            sections[-1].append(cell.source)
    assert len(sections) > 15
    assert all(any("assert " in code for code in section) for section in sections[:-1])
