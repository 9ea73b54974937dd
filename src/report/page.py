"""A comparison's files: the ranked table, the figures, and what they say in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra_plugins.batch_launcher import step

from . import figures, table, words
from .comparison import Comparison
from .observations import as_frame

DPI = 130
MOST_DRAWN = 3  # data sets: each takes a second or two


def write(comparison: Comparison, folder: Path, only: Sequence[str] | None = None) -> None:
    """Write a page into an existing folder, or of its figures only these.

    Of several data sets each has its figures in a folder of its own, the first `MOST_DRAWN` of them. What
    needs the data is left out where their file is gone or has changed since. The words, `note.md`, say so.
    """
    parts = comparison.data_sets
    if only is None:
        tables = {part.data if len(parts) > 1 else "": part.runs for part in parts}
        with step("writing the table"):
            table.as_frame(comparison.runs).to_csv(folder / "runs.csv", index=False)
            (folder / "runs.html").write_text(table.as_html(tables, comparison.title), "utf-8")
            (folder / "note.md").write_text(words.note(comparison, MOST_DRAWN), "utf-8")
    for part in parts[:MOST_DRAWN]:
        place = folder / part.folder if len(parts) > 1 else folder
        place.mkdir(exist_ok=True)
        if only is None and (observations := as_frame(part)) is not None:
            observations.to_csv(place / "observations.csv", index=False)
        _draw(part, place, figures.names() if only is None else only)


def _draw(comparison: Comparison, folder: Path, names: Sequence[str]) -> None:
    with step("drawing", len(names), "figures") as reached:
        for drawn, name in enumerate(names, start=1):
            figure = figures.draw(name, comparison)
            if figure:
                figure.savefig(folder / f"{name}.png", dpi=DPI)
            reached(drawn)
