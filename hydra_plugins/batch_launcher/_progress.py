"""Bars for who waits at a terminal: how far, how fast, how long still. Quiet anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(doing: str, unit: str, total: int) -> Iterator[Callable[[int], object]]:
    """Yields what is to be called with the count reached so far."""
    if not sys.stderr.isatty():
        yield lambda reached: None
        return
    # Imported here: rich costs a quarter of a second that only a watched sweep should pay.
    from rich import progress
    from rich.console import Console
    from rich.text import Text

    class Rate(progress.ProgressColumn):
        def render(self, task: progress.Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f} {unit}/s" if speed else "")

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        Rate(),
        progress.TimeRemainingColumn(elapsed_when_finished=True),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as watched:
        task = watched.add_task(doing, total=total)
        yield lambda reached: watched.update(task, completed=reached)
