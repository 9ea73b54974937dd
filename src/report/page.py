"""A comparison's files: the ranked table, the figures, and what they say in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from hydra_plugins.batch_launcher import step

from ..config import ConfigError
from . import document, evaluation, figures, table, words
from .comparison import Comparison
from .observations import as_frame

DPI = 130
MOST_DRAWN = 3  # data sets: each takes a second or two


def write(
    comparison: Comparison,
    links: Mapping[str, str],
    *,
    folder: Path,
    only: Sequence[str] | None = None,
) -> None:
    """Write a page into an existing folder, or of its figures only these; `links` are addresses by name.

    The runs stand best first.

    With them comes the calibration report of the best run, if it has a calibration. Of several data sets each
    has these in a folder of its own, the first `MOST_DRAWN` of them. What needs the data or a function of the
    user's is left out where their file is gone or has changed since. The words, `note.md`, say so.
    """
    parts = comparison.data_sets
    told = words.told(comparison) if only is None else []
    if only is None:
        with step("writing the table"):
            with (folder / "runs.csv").open("w", encoding="utf-8", newline="") as file:
                table.as_csv(comparison.runs, file)
            (folder / "note.md").write_text(words.note(comparison, told, MOST_DRAWN), "utf-8")
    pictures: list[Sequence[Path]] = []
    for part in parts[:MOST_DRAWN]:
        place = folder / part.folder if len(parts) > 1 else folder
        place.mkdir(exist_ok=True)
        if only is None and (observations := as_frame(part)) is not None:
            observations.to_csv(place / "observations.csv", index=False)
        with suppress(ConfigError):  # of a function that is gone or another by now
            if part.best:
                evaluation.write(part.store, part.best, place)
        pictures.append(list(_draw(part, place, figures.names() if only is None else only)))
    if only is None:
        with (folder / document.NAME).open("w", encoding="utf-8") as file:
            file.writelines(document.as_html(comparison, told, pictures, links))


def _draw(comparison: Comparison, folder: Path, names: Sequence[str]) -> Iterator[Path]:
    with step("drawing", len(names), "figures") as reached:
        for drawn, name in enumerate(names, start=1):
            if figure := figures.draw(name, comparison):
                figure.savefig(folder / f"{name}.png", dpi=DPI)
                yield folder / f"{name}.png"
            reached(drawn)
