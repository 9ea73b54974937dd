"""The page of a result: two tables and the machine."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from benchmarks._measure import FEW, Measured, Round
from benchmarks._phases import PHASES

Rows = list[list[str]]

SPEED = [
    *("launcher", "runs", "seconds", "CPU s", "runs/s"),
    *("× stock", "× one more", "× floor", "× rival's CPU", "peak MiB"),
]


def speed(rounds: Sequence[Round]) -> str:
    """The table of ratios."""

    def row(name: str, pick: Callable[[Round], Measured], *ratios: str) -> list[str]:
        seconds = middle(pick(one).seconds for one in rounds)
        runs = pick(rounds[0]).runs
        cpu = middle(pick(one).cpu_s for one in rounds)
        peak = middle(pick(one).peak_mib for one in rounds)
        return [
            *(name, f"{runs:,}", digits(seconds), digits(cpu), digits(runs / seconds)),
            *(*ratios, f"{peak:,.0f}"),
        ]

    nothing = [""] * 3
    rows = [
        row("basic", lambda one: one.few, "", *nothing),
        row("basic", lambda one: one.stock, "1", *nothing),
    ]
    further = middle(one.further for one in rounds)
    to_further = spread(one.stock.per_run / one.further for one in rounds)
    rows.append(["basic", "one more", digits(further), "", digits(1 / further), to_further, "1", "", "", ""])
    for runs in rounds[0].batch:
        ratios = (
            spread(ratio(one, runs) for one in rounds)
            for ratio in (Round.to_stock, Round.to_further, Round.to_floor)
        )
        rival = spread(one.to_rival(runs) for one in rounds) if rounds[0].rival else ""
        rows.append(row("batch", lambda one, runs=runs: one.batch[runs], *ratios, rival))  # type: ignore[misc]
        if rounds[0].rival:
            rows.append(row("rival", lambda one, runs=runs: one.rival[runs], "", *nothing))  # type: ignore[misc]
    return table(SPEED, rows)


def where_time_goes(rounds: Sequence[Round]) -> str:
    """The table of phases, in seconds."""

    def row(name: str, runs: int, pick: Callable[[Round], dict[str, float]]) -> list[str]:
        phases = (
            digits(middle(pick(one)[phase] for one in rounds)) if phase in pick(rounds[0]) else ""
            for phase in PHASES
        )
        return [name, f"{runs:,}", *phases]

    stock = rounds[0].stock.runs
    rows = [row("basic", FEW, lambda one: one.few.phases), row("basic", stock, lambda one: one.stock.phases)]
    for runs in rounds[0].batch:
        rows.append(row("batch", runs, lambda one, runs=runs: one.batch[runs].phases))  # type: ignore[misc]
        rows.append(row("floor", runs, lambda one, runs=runs: one.floor[runs]))  # type: ignore[misc]
    return table(["", "runs", *PHASES], rows)


def watched(rounds: Sequence[Round]) -> str:
    """How long processes under the stopwatch took beside plain ones."""
    measured = [each for one in rounds for each in (one.few, one.stock, *one.batch.values())]
    return spread(each.watched_seconds / each.seconds for each in measured)


def machine() -> list[str]:
    """What was measured on; nothing that tells whose it is."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = [f"{name} {version(name)}" for name in ("torch", "mlflow", "hydra-core", "sqlalchemy")]
    load = os.getloadavg()[0]
    return [
        f"{platform.system()} {platform.release()}, {platform.machine()}",
        f"{cpu_model()}, {len(os.sched_getaffinity(0))} cores, {memory_gib:.0f} GiB",
        f"load average {load:.1f} at the start",
        f"Python {platform.python_version()}, {', '.join(versions)}, sqlite {sqlite3.sqlite_version}",
    ]


def cpu_model() -> str:
    """As Linux names it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def report(rounds: Sequence[Round], epochs: int, described: Sequence[str]) -> str:
    """The page that is printed and saved."""
    bullets = "\n".join(f"- {line}" for line in described)
    return f"""# A sweep over learning rates, {epochs:,} epochs a run, {today()}

{bullets}
- rounds: {len(rounds)}; medians, with the smallest and largest of a ratio in brackets

`benchmarks/README.md` says how to read this.

## Speed

{speed(rounds)}

## Where the time goes, in seconds

{where_time_goes(rounds)}

Processes under the stopwatch took {watched(rounds)} times as long as the plain ones of the first table.
"""


def table(header: list[str], rows: Rows) -> str:
    """Markdown that lines up as plain text, too."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * (width - 1) + ":" for width in widths]

    def line(cells: Sequence[str]) -> str:
        padded = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    return "\n".join(map(line, (header, rule, *rows)))


def middle(values: Iterator[float]) -> float:
    """The median."""
    return median(list(values))


def spread(values: Iterator[float]) -> str:
    """The median, and between what it lies."""
    numbers = sorted(values)
    middle_one, low, high = (digits(number) for number in (median(numbers), numbers[0], numbers[-1]))
    return f"{middle_one} ({low}–{high})" if len(numbers) > 1 else middle_one


def digits(number: float) -> str:
    """Three digits, which is more than these machines repeat.

    >>> digits(0.01234), digits(4.567), digits(1234.5)
    ('0.0123', '4.57', '1,234')
    """
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:#.3g}".rstrip(".")


def today() -> str:
    """The date of a result, in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime())
