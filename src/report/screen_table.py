"""The ranked table in a terminal: as many columns as fit it, and below what there is to know of the runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..config import printable
from ..terminal import lines
from ..tracking.conformity import CONFORMITY
from ..tracking.record import TrackedRun
from ..tracking.trust import parameters_found, trained_enough
from .differences import columns
from .reasons import reasons
from .table import (
    EVERYTHING,
    RESULTS,
    conformities,
    number,
    param,
    parameter_columns,
    rest,
    title,
    what_came_of,
    with_parameters,
)

GAP = 2  # blanks between columns


@dataclass(frozen=True)
class Column:
    """A column of the table; those with the lowest `goes` are the first to go where it is too wide, 0 never.

    Columns that mean nothing without each other go together.
    """

    header: str
    cells: list[str]
    goes: int = 0
    alike: str = ""  # what stands in every cell, where that is the same

    @property
    def width(self) -> int:
        """In the terminal's cells."""
        return max(map(cell_len, [self.header, *self.cells]))


def print_table(runs: Sequence[TrackedRun], most: int) -> None:
    """The runs in the order given; of more than `most`, a count of the rest; then the reasons."""
    wanted = _columns(runs, most)
    width = lines.width()
    shown = fitting(wanted, width)
    outcomes = [run.outcome for run in runs[:most]]
    if shown:
        print_grid(shown, outcomes)
    else:
        _print_list(wanted)
    for line in (*_left_out(wanted, shown), *rest(runs[most:], f"shown by {EVERYTHING}")):
        lines.say(line, whole=EVERYTHING)
    for line in (*_trusted(runs[:1]), *reasons(runs)):
        lines.say(line)


def fitting(wanted: Sequence[Column], width: int | None) -> list[Column]:
    """The columns that fit, in their order; none where not even those do that never go.

    First those go that are the same in all rows, the last of them first, then the models' parameters, then
    `loss_gap`, then `loss`: what tells the runs apart and what came of them stays.
    """
    shown = list(wanted)
    while width is not None and sum(each.width + GAP for each in shown) - GAP > width:
        going = min((each.goes for each in shown if each.goes), default=0)
        if not going:
            return []
        shown = [each for each in shown if each.goes != going]
    return shown


def _columns(runs: Sequence[TrackedRun], most: int) -> list[Column]:
    """All that the table could show, of the first `most` runs."""
    first = list(islice(with_parameters(runs), most))
    settings = []
    for key in columns(runs):
        alike = len({run.params.get(key, "") for run in runs}) == 1
        cells = [param(run.params.get(key, "")) for run, _ in first]
        settings.append(Column(title(key), cells, alike=cells[0] if alike else ""))
    same = [each for each in settings if each.alike]
    settings = [replace(each, goes=len(same) - same.index(each)) if each.alike else each for each in settings]
    parameters = [
        Column(name, [found[place] for _, found in first], goes=len(same) + 1)
        for place, name in enumerate(parameter_columns(runs))
    ]
    results = [
        Column(key, [number(run, key) for run, _ in first], goes=len(same) + 1 + place)
        for key, place in zip(RESULTS, (2, 1), strict=True)
    ]
    ranks = Column("#", [str(rank) for rank in range(1, len(first) + 1)])
    verdicts = [Column(CONFORMITY, cells)] if any(cells := conformities([run for run, _ in first])) else []
    outcomes = Column("outcome", [what_came_of(run) for run, _ in first])
    return [ranks, *settings, *results, *parameters, *verdicts, outcomes]


def print_grid(shown: Sequence[Column], outcomes: Sequence[str | None]) -> None:
    """Print columns that fit, the last of which is of words, each row in the colour of its outcome."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    *numbers, words = shown
    for column in numbers:
        table.add_column(_cell(column.header), justify="right", no_wrap=True)
    table.add_column(words.header, no_wrap=True)
    for cells, outcome in zip(zip(*(each.cells for each in shown), strict=True), outcomes, strict=True):
        table.add_row(*map(_cell, cells), style=_style(outcome))
    # a height, too, or rich takes a dumb terminal for one of 80 columns whatever the width
    Console(width=sum(each.width + GAP for each in shown), height=len(outcomes)).print(table)


def _print_list(columns: Sequence[Column]) -> None:
    """Where no table fits: a run after the other, in words."""
    (ranks, *settings_and_results, outcomes) = columns
    for place, (rank, outcome) in enumerate(zip(ranks.cells, outcomes.cells, strict=True)):
        told = [f"{each.header}={each.cells[place]}" for each in settings_and_results if each.cells[place]]
        lines.say(f"{rank}: {outcome}, {', '.join(told)}")


def _left_out(wanted: Sequence[Column], shown: Sequence[Column]) -> Iterator[str]:
    """Which columns are not shown, and what stands in those that say the same of all runs."""
    gone = [each for each in wanted if shown and each not in shown]
    if gone:
        names = [f"{each.header} ({each.alike} in all)" if each.alike else each.header for each in gone]
        yield f"… not shown: {', '.join(names)}; see {EVERYTHING}"


def _trusted(first: Sequence[TrackedRun]) -> Iterator[str]:
    """What the first run has found, with its uncertainty."""
    for run in first:
        if known := parameters_found(run.params, run.metrics):
            trained = trained_enough(run.metrics, run.outcome == "converged")
            yield f"#1: {known}; trained to {trained}"


def _cell(text: str) -> Text:
    """As it stands: a name from a file is neither markup nor an escape code."""
    return Text(printable(text))


def _style(outcome: str | None) -> str:
    return {"converged": "", "stopped": "yellow", None: ""}.get(outcome, "red")
