"""A comparison's files: the ranked table, the figures, and what they say in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from . import figures, table, words
from .comparison import Comparison

DPI = 130


def write(comparison: Comparison, folder: Path, only: Sequence[str] | None = None) -> None:
    """Write a page into an existing folder, or of its figures only these.

    What needs the data is left out where their file is gone or has changed since, and the words,
    `note.md`, say so.
    """
    if only is None:
        table.as_frame(comparison.runs).to_csv(folder / "runs.csv", index=False)
        (folder / "runs.html").write_text(table.as_html(comparison.runs, comparison.title), "utf-8")
        (folder / "note.md").write_text(words.note(comparison), "utf-8")
    for name in figures.names() if only is None else only:
        figure = figures.draw(name, comparison)
        if figure:
            figure.savefig(folder / f"{name}.png", dpi=DPI)
