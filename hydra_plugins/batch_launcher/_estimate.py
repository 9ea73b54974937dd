"""How long a work of several steps still takes: by what is seen of each, or else by what was expected."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ENOUGH_S = 0.5  # of a step: from then on it tells how long the rest of it takes


@dataclass
class _Step:
    """A step over all its parts, as each of several batches trains a part of the jobs."""

    expected_s: float | None
    spent_s: float = 0.0
    share: float = 0.0  # of all that it is to do

    @property
    def whole_s(self) -> float | None:
        """The time for all of it; None where nobody knows."""
        if self.share >= 1 or (self.share and self.spent_s > ENOUGH_S):
            return self.spent_s / min(self.share, 1)
        return self.expected_s


class Estimate:
    """Follows the steps of a work as they begin, count and end."""

    def __init__(
        self,
        total: int | None,
        expected_s: Mapping[str, float | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`total`: the jobs that the work is over; `expected_s`: for all of them, by step, in their order."""
        self._total, self._clock = total, clock
        self._steps = {name: _Step(seconds) for name, seconds in expected_s.items()}
        self._start = self._ended = self._began = self._told = clock()
        self._running, self._part = "", 0.0
        self._furthest = 0.0
        self.reached = self.of = 0

    def begin(self, step: str, of: int, jobs: float | None) -> None:
        """A step begins that counts to `of`, for so many of the jobs; None for all of them."""
        self._running, self.reached, self.of = step, 0, of
        self._part = 1.0 if jobs is None else jobs / self._total if self._total else 0.0
        self._began = self._told = self._clock()

    def tell(self, reached: int) -> None:
        """So far it has counted."""
        self.reached, self._told = reached, self._clock()

    def end(self) -> None:
        """It has ended; what passed between the last step and this one is of its time."""
        step = self._steps.setdefault(self._running, _Step(None))
        now = self._clock()
        step.spent_s, step.share = step.spent_s + now - self._ended, step.share + self._part
        self._running, self._ended = "", now

    @property
    def left_s(self) -> float | None:
        """How long still, None where nobody knows. In the last step all others are done."""
        if self._total is None:
            return None
        is_last = self._running == next(reversed(self._steps), "")
        left = [self._left_s(name) for name in self._steps if name == self._running or not is_last]
        known = [each for each in left if each is not None]
        return sum(known) if len(known) == len(left) else None

    def _left_s(self, name: str) -> float | None:
        step = self._steps[name]
        whole_s, spent_s = step.whole_s, step.spent_s
        if name == self._running:
            done = self._part * self.reached / self.of if self.of else 0.0
            seen = _Step(step.expected_s, spent_s + self._told - self._began, step.share + done)
            whole_s, spent_s = seen.whole_s, spent_s + self._clock() - self._began
        return None if whole_s is None else max(0.0, whole_s - spent_s)

    @property
    def share(self) -> float | None:
        """Which part of the time has passed, None where nobody knows. It never falls."""
        if (left_s := self.left_s) is None:
            return None
        spent_s = self._clock() - self._start
        self._furthest = max(self._furthest, spent_s / (spent_s + left_s) if spent_s else 0.0)
        return self._furthest
