"""A bar for a person who waits; nothing where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def progress(items: Sequence[T], doing: str) -> Iterable[T]:
    """Iterate over `items`; a terminal on stderr sees how far, how fast and how long still."""
    return _bar(items, doing) if sys.stderr.isatty() else items


def _bar(items: Sequence[T], doing: str) -> Iterator[T]:
    # Imported here: rich costs a quarter of a second that only a watched sweep should pay.
    from rich import progress as rich_progress
    from rich.console import Console
    from rich.text import Text

    class Rate(rich_progress.ProgressColumn):
        def render(self, task: rich_progress.Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f}/s" if speed else "", style="progress.data.speed")

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        Rate(),
        rich_progress.TimeRemainingColumn(elapsed_when_finished=True),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True)) as bar:
        yield from bar.track(items, description=doing)
