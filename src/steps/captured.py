"""A step of the training, captured: its operations are recorded once and run again in place.

    work = Captured(step, params, lr, t_u, t_c)     # raises CaptureError
    work.step()                                     # work.params are an epoch further

As a CUDA graph does on a card: the same kernels on the same memory, without the machinery that chooses
and allocates, nine tenths of a small step. A capture is never trusted blindly. What cannot be repeated is
refused by the tape. And as no tape sees what a function reads outside torch, the eager step of one run
alone is taken beside it, at the first steps, then ever more rarely, and whenever losses are wanted: both
must agree to the bit.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .program import Program
from .tape import CaptureError, Tape, UnsteadyError, with_gaps

# params and lr (R, K), then what is given of N observations (1 or R, N) -> losses (R,), and the params after
Step = Callable[..., tuple[Tensor, Tensor]]

SPREAD = 7919  # a prime: the runs that are looked at one after the other lie far apart


class MismatchError(Exception):
    """A captured step gave other bits than the eager one of a run alone."""


class Captured:
    """R runs at work. Use it under `torch.no_grad`: to say so in each step would cost a tenth of it."""

    def __init__(self, step: Step, params: Tensor, *given: Tensor) -> None:
        """Takes the step once, and throws its result away. Raises CaptureError and UnsteadyError."""
        self._eager, self._steps, self._checks = step, 0, 0
        rows = [params.clone(), *given]
        try:
            self._capture(rows, gaps=False)
        except UnsteadyError:
            self._capture([with_gaps(each, len(params)) for each in rows], gaps=True)

    def _capture(self, rows: list[Tensor], gaps: bool) -> None:
        try:
            with Tape(rows, gaps) as tape:
                losses, after = self._eager(*rows)
            program = Program(tape, rows[0], after, losses)
            self._run, self._run_with_losses = program.giving(), program.giving(losses)
            before = rows[0].clone()
            self._run_with_losses()  # on trial
            rows[0].copy_(before)
        except (CaptureError, UnsteadyError):
            raise
        except Exception as error:  # the eager step will meet it, too, or do without what failed
            raise CaptureError(f"the step fails to be captured, with a {type(error).__name__}") from error
        self.params, *self._given = rows  # (R, K), changed in place
        self._losses = losses  # (R,)

    def step(self) -> None:
        """One epoch. Raises MismatchError."""
        self._steps += 1
        if self._steps & (self._steps - 1):
            self._run()
        else:  # the first, second, fourth, eighth, ...: what differs is best known early
            self.measured_step()

    def measured_step(self) -> tuple[Tensor, Tensor, Tensor]:
        """One epoch -> losses (R,), parameters (R, K) before and after it. Raises MismatchError."""
        before = self.params.clone()
        self._run_with_losses()
        run = self._checks * SPREAD % len(before)
        self._checks += 1
        losses, after = self._eager(*of_run(run, before, *self._given))
        if not _same(losses[0], self._losses[run]) or not _same(after[0], self.params[run]):
            raise MismatchError("a captured step gives other numbers than an eager one")
        return self._losses, before, self.params


def of_run(run: int, *rows: Tensor) -> list[Tensor]:
    """What one run has of (R, ·) each, in memory of its own, or of (1, ·) that all share."""
    return [each[run : run + 1].clone() if len(each) > 1 else each for each in rows]


def _same(some: Tensor, others: Tensor) -> bool:
    """To the bit; NaN is NaN."""
    return torch.equal(some, others) or torch.allclose(some, others, rtol=0, atol=0, equal_nan=True)
