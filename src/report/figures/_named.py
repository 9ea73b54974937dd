"""Which runs a figure draws by name, and what it calls them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...spelling import ALWAYS, in_words
from ...tracking.record import TrackedRun
from ..differences import distinguishing
from ._canvas import Dashes, short, styles

MOST_NAMED = 12  # runs that are drawn one by one
WIDE, PLAIN = 3.0, 1.3  # points
MOST_MODELS = 6  # whose best runs stand out: as many as there are colours


@dataclass(frozen=True)
class Named:
    """A run with a line of its own: how it is called in the legend and at its line, and how it looks."""

    run: TrackedRun
    label: str
    badge: str
    colour: str
    dashes: Dashes
    is_leader: bool

    @property
    def look(self) -> dict[str, Any]:
        """How its line is plotted."""
        return {"color": self.colour, "linestyle": self.dashes, "linewidth": self.width}

    @property
    def width(self) -> float:
        """A leader's line is seen under others on the same course."""
        return WIDE if self.is_leader else PLAIN


def is_usable(run: TrackedRun) -> bool:
    """Whether a run has a result: it did not diverge or crash, nor end before its first loss."""
    return run.has_calibration


def leaders(runs: Sequence[TrackedRun]) -> list[TrackedRun]:
    """The best usable run of each model, of the first `MOST_MODELS`. `runs` are ranked, best first."""
    found: dict[str, TrackedRun] = {}
    for run in runs:
        if run.params.get("model") not in found and is_usable(run):
            found[run.params["model"]] = run
    return list(found.values())[:MOST_MODELS]


def named(runs: Sequence[TrackedRun]) -> list[Named]:
    """All usable runs of few; of many the best, the median and the worst, and the best of each model.

    `runs` are ranked, best first. It is the same choice in each figure, so that a run looks the same in all;
    each model's best stands out.
    """
    chosen, ahead = _chosen(runs), {run.run_id for run in leaders(runs)}
    is_leader = [run.run_id in ahead for run in chosen.values()]
    # leaders first: they have a colour each
    order = sorted(range(len(chosen)), key=lambda place: not is_leader[place])
    looks = dict(zip(order, styles(len(chosen)), strict=True))
    labels = names(list(chosen.values()), distinguishing(runs))
    return [
        Named(run, f"{badge}  {label}", badge, *looks[place], is_leader=is_leader[place])
        for place, ((badge, run), label) in enumerate(zip(chosen.items(), labels, strict=True))
    ]


def _chosen(runs: Sequence[TrackedRun]) -> dict[str, TrackedRun]:
    """The runs that are named, each by its badge."""
    usable = {rank: run for rank, run in enumerate(runs, start=1) if is_usable(run)}
    if len(runs) <= MOST_NAMED:
        return {str(rank): run for rank, run in usable.items()}
    in_order = list(usable.values())
    chosen = {word: in_order[place] for place, word in sorted(_landmarks(len(usable)).items())}
    others = {run.run_id for run in leaders(in_order)} - {run.run_id for run in chosen.values()}
    return chosen | {str(rank): run for rank, run in usable.items() if run.run_id in others}


def _landmarks(number: int) -> dict[int, str]:
    """Which of so many that are ranked is the best, the median and the worst; the only one is the best."""
    return {number - 1: "worst", (number - 1) // 2: "median", 0: "best"} if number else {}


def sample(runs: Sequence[TrackedRun], most: int) -> list[TrackedRun]:
    """At most so many of ranked runs, evenly spaced, with those that are named."""
    if len(runs) <= most:
        return list(runs)
    apart = {run.run_id for run in _chosen(runs).values()}
    room = most - len(apart)
    even = {round(place * (len(runs) - 1) / (room - 1)) for place in range(room)}
    return [run for place, run in enumerate(runs) if place in even or run.run_id in apart]


def described(run: TrackedRun, keys: Sequence[str]) -> str:
    """Some of a run's params in words."""
    return " · ".join(filter(None, (in_words(key, run.params) for key in keys)))


def unlike(runs: Sequence[TrackedRun]) -> list[str]:
    """A sentence where the runs' losses do not compare."""
    losses = dict.fromkeys(" ".join(run.loss_function) for run in runs)
    return [f"Losses under {', '.join(losses)} do not compare."] if len(losses) > 1 else []


def names(runs: Sequence[TrackedRun], apart: Sequence[str]) -> list[str]:
    """The runs' names, with those params that tell them apart and are not in the name."""
    return [short(" · ".join([run.name, *_besides_name(run, apart)]), 60) for run in runs]


def _besides_name(run: TrackedRun, apart: Sequence[str]) -> list[str]:
    words = (in_words(key, run.params) for key in apart if key not in ALWAYS)
    return [word for word in words if word and word not in run.name]
