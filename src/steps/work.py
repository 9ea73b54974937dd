"""R runs at work on their training: `step`, and `measured_step` where losses are wanted.

Captured runs take their steps together, or one by one where that gives other last bits. Eager ones take them
one by one, each as if it were alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from .captured import Captured, Step, of_run
from .tape import UnsteadyError


class Work(Protocol):
    """R runs at work."""

    @property
    def params(self) -> Tensor:
        """(R, K); a step may change it in place."""

    def step(self) -> object:
        """One epoch."""

    def measured_step(self) -> tuple[Tensor, Tensor, Tensor]:
        """One epoch -> losses (R,), parameters (R, K) before and after it."""


def captured(step: Step, rows: list[Tensor]) -> Work:
    """The steps of the runs to which `rows` belong, run again and again. Raises CaptureError."""
    try:
        return Captured(step, *rows)
    except UnsteadyError:
        return OneByOne([Captured(step, *of_run(run, *rows)) for run in range(len(rows[0]))])


def eager(step: Step, rows: list[Tensor]) -> Work:
    """The steps of the runs to which `rows` belong, each anew through autograd.

    On the CPU one by one: to the bit the reference for any other way. On other devices all together: how far
    their last bits depend on the company has not been tried there.
    """
    if rows[0].device.type != "cpu":
        return Eager(step, *rows)
    return OneByOne([Eager(step, *of_run(run, *rows)) for run in range(len(rows[0]))])


class Eager:
    """Each step anew."""

    def __init__(self, step: Step, params: Tensor, *given: Tensor) -> None:
        self.params, self._given, self._step = params, given, step

    def step(self) -> None:
        """One epoch."""
        self.measured_step()

    def measured_step(self) -> tuple[Tensor, Tensor, Tensor]:
        """One epoch -> losses (R,), parameters (R, K) before and after it."""
        before = self.params
        losses, self.params = self._step(before, *self._given)
        return losses, before, self.params


class OneByOne:
    """Works of one run each."""

    def __init__(self, works: Sequence[Work]) -> None:
        self._works = works

    @property
    def params(self) -> Tensor:
        """(R, K)."""
        return torch.cat([work.params for work in self._works])

    def step(self) -> None:
        """One epoch."""
        for work in self._works:
            work.step()

    def measured_step(self) -> tuple[Tensor, Tensor, Tensor]:
        """One epoch -> losses (R,), parameters (R, K) before and after it."""
        losses, before, after = zip(*(work.measured_step() for work in self._works), strict=True)
        return torch.cat(losses), torch.cat(before), torch.cat(after)
