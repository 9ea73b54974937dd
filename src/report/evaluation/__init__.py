"""A calibration report: what one run has found, on a page to print, report.html, from the record alone.

The page follows GUM (JCGM 100) 7.2.7, and says what it lacks. It holds all that it shows.
"""

from __future__ import annotations

from pathlib import Path

from ...tracking.record import TrackedRun
from ...tracking.store import Store
from ._evaluation import Evaluation
from ._page import as_html

NAME = "report.html"


def write(store: Store, run: TrackedRun, folder: Path) -> Path:
    """The file in this folder; raises ConfigError for a run that has no calibration, with nothing written."""
    text = as_html(Evaluation.of(store, run))
    path = folder / NAME
    path.write_text(text, "utf-8")
    return path
