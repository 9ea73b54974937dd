"""One bar for who waits at a terminal: what is being done, how far, how long still. Quiet anywhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from ._estimate import Estimate

if TYPE_CHECKING:
    from rich.progress import Progress


class _Bar:
    """The last line of a terminal, which makes room for what is printed."""

    def __init__(self, doing: str, estimate: Estimate) -> None:
        self.estimate = estimate
        self.doing, self.unit = doing, ""
        self.display = _display(self)
        self.is_shown = False

    def show(self) -> None:
        """Show it, unless it is."""
        if not self.is_shown:
            self.is_shown = True
            self._draw(self.display.start)

    def hide(self) -> None:
        """Leave the line to others."""
        if self.is_shown:
            self.is_shown = False
            self._draw(self.display.stop)

    def _draw(self, step: Callable[[], None]) -> None:
        """What a bar draws itself needs no room made for it."""
        token = _current.set(None)
        try:
            step()
        finally:
            _current.reset(token)

    @property
    def text(self) -> str:
        """What is being done, and how far it is."""
        estimate = self.estimate
        far = f" {estimate.reached:,} of {estimate.of:,} {self.unit}" if self.unit else ""
        return f"{self.doing}{far}"


# Of one thread alone, so that a job in a thread of its own shows none.
_current: ContextVar[_Bar | None] = ContextVar("bar", default=None)


@contextmanager
def bar(total: int | None, expected_s: Mapping[str, float | None]) -> Iterator[None]:
    """Show one bar over all steps inside, until the end; a bar inside another is a part of that.

    `total`: the jobs that the work is over, None where nobody knows. `expected_s`: the steps in their order,
    and how long each is expected to take for all jobs; None where only the step can tell.
    """
    is_watched = sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    if _current.get() or not is_watched:
        yield
        return
    doing = "starting" if total is None else f"{total:,} job{'s' * (total > 1)}"  # until a step begins
    shown = _Bar(doing, Estimate(total, expected_s))
    token = _current.set(shown)
    try:
        shown.show()
        yield
    finally:
        shown.hide()
        _current.reset(token)


@contextmanager
def step(
    doing: str, of: int = 0, unit: str = "", jobs: float | None = None
) -> Iterator[Callable[[int], object]]:
    """A step of the work that counts to `of`, for so many of the jobs; None for all. Silent without a bar.

    Yields what is to be called with the count reached so far.
    """
    shown = _current.get()
    if shown is None:
        yield lambda reached: None
        return
    shown.doing, shown.unit = doing, unit
    shown.estimate.begin(doing, of, jobs)
    try:
        yield shown.estimate.tell
    finally:
        shown.estimate.end()


@contextmanager
def meanwhile(doing: str) -> Iterator[None]:
    """Inside, the bar says that this is done, and not the step that it is a part of. Silent without a bar.

    Of several threads that say the same the first is heard.
    """
    shown = _current.get()
    if shown is None or shown.doing == doing:
        yield
        return
    before, shown.doing = shown.doing, doing
    try:
        yield
    finally:
        shown.doing = before


@contextmanager
def above_bar(text: str) -> Iterator[None]:
    """Inside, a text is printed: above the bar, if there is one, which comes back behind a whole line."""
    shown = _current.get()
    if shown:
        shown.hide()
    yield
    if shown and text.endswith("\n"):
        shown.show()


def _display(shown: _Bar) -> Progress:
    # Imported here: rich costs a quarter of a second that only a watched sweep should pay.
    from rich import progress
    from rich.console import Console
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    class Told(progress.ProgressColumn):
        def __init__(self, tell: Callable[[], str]) -> None:
            super().__init__()
            self.tell = tell

        def render(self, task: progress.Task) -> Text:
            del task
            return Text(self.tell(), no_wrap=True)

    class Share(progress.BarColumn):
        def render(self, task: progress.Task) -> ProgressBar:
            share = shown.estimate.share
            task.total, task.completed = (None, 0.0) if share is None else (1.0, share)
            return super().render(task)

    display = progress.Progress(
        Told(lambda: shown.text),
        Share(bar_width=None),
        Told(lambda: _clock(shown.estimate.left_s)),
        console=Console(stderr=True),
        transient=True,
        expand=True,
        redirect_stdout=False,
        redirect_stderr=False,
        refresh_per_second=5,
    )
    display.add_task("")
    return display


def _clock(left_s: float | None) -> str:
    if left_s is None:
        return "-:--:-- left"
    minutes, seconds = divmod(round(left_s), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02} left"
