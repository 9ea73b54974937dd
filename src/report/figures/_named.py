"""Which runs a figure draws by name, and what it calls them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ...spelling import ALWAYS, CHOICES, in_words
from ...tracking.record import TrackedRun
from ..differences import distinguishing
from ._canvas import Dashes, short, styles

MOST_NAMED = 12  # runs that are drawn one by one
WIDE, PLAIN, THIN = 3.0, 1.6, 1.0  # points: a leader's line is seen under others on the same course
IN_NAME = {*ALWAYS, *CHOICES}  # params that a run's name holds, but for the default


@dataclass(frozen=True)
class Named:
    """A run with a line of its own: how it is called in the legend and at its line, and how it looks."""

    run: TrackedRun
    label: str
    badge: str
    colour: str
    dashes: Dashes
    width: float

    @property
    def look(self) -> dict[str, Any]:
        """How its line is plotted."""
        return {"color": self.colour, "linestyle": self.dashes, "linewidth": self.width}


def is_usable(run: TrackedRun) -> bool:
    """Whether a run has a result: it did not diverge or crash, nor end before its first loss."""
    return run.calibration() is not None


def named(
    runs: Sequence[TrackedRun], ids: Collection[str], leaders: Sequence[TrackedRun] = ()
) -> list[Named]:
    """All usable runs of few; of many the best, the median and the worst. `runs` are ranked, best first.

    `leaders` are named, too, and stand out as the best does. Only runs of these ids can be drawn: the nearest
    in the ranking stands in for one that cannot.
    """
    usable = [(rank, run) for rank, run in enumerate(runs) if is_usable(run)]
    drawable = [(rank, run) for rank, run in usable if run.run_id in ids]
    if not drawable:
        return []
    if len(runs) <= MOST_NAMED:
        chosen = {str(rank + 1): run for rank, run in drawable}
    else:
        wanted = {word: usable[place][0] for word, place in _landmarks(len(usable)).items()}
        chosen = {
            word: min(drawable, key=lambda pair: abs(pair[0] - rank))[1] for word, rank in wanted.items()
        }
        others = [run for run in leaders if run not in chosen.values()]
        chosen |= {str(rank + 1): run for rank, run in drawable if run in others}
    labels = names(list(chosen.values()), distinguishing(runs))
    is_leader = [not place or run in leaders for place, run in enumerate(chosen.values())]
    # leaders first: they have a colour each
    order = sorted(range(len(chosen)), key=lambda place: not is_leader[place])
    looks = dict(zip(order, styles(len(chosen)), strict=True))
    plain = THIN if len(leaders) > 1 else PLAIN
    return [
        Named(run, f"{badge}  {label}", badge, *looks[place], width=WIDE if is_leader[place] else plain)
        for place, ((badge, run), label) in enumerate(zip(chosen.items(), labels, strict=True))
    ]


def _landmarks(number: int) -> dict[str, int]:
    """The places of the best, the median and the worst of so many that are ranked."""
    return {"best": 0, "median": (number - 1) // 2, "worst": number - 1} if number else {}


def sample(runs: Sequence[TrackedRun], most: int) -> list[TrackedRun]:
    """At most so many of ranked runs, evenly spaced, with the first, the last and those drawn by name."""
    if len(runs) <= most:
        return list(runs)
    usable = [place for place, run in enumerate(runs) if is_usable(run)]
    landmarks = {usable[place] for place in _landmarks(len(usable)).values()}
    room = most - len(landmarks)
    even = {round(place * (len(runs) - 1) / (room - 1)) for place in range(room)}
    return [runs[place] for place in sorted(even | landmarks)]


def described(run: TrackedRun, keys: Sequence[str]) -> str:
    """Some of a run's params in words."""
    return " · ".join(filter(None, (in_words(key, run.params) for key in keys)))


def names(runs: Sequence[TrackedRun], apart: Sequence[str]) -> list[str]:
    """The runs' names, with those params that tell them apart and are not in the name."""
    return [short(" · ".join([run.name, *_besides_name(run, apart)]), 60) for run in runs]


def _besides_name(run: TrackedRun, apart: Sequence[str]) -> list[str]:
    words = (in_words(key, run.params) for key in apart if key not in IN_NAME)
    return [word for word in words if word and word not in run.name]
