"""What an epoch of the training takes, captured, beside the same steps taken anew through autograd each time.

    python -m benchmarks.steps      # a few minutes

CPU time in one process, in turns, so that what else the machine does meets both alike. Captured is the whole
of `training_loop`, with its capture, its checks and its curve; eager are the bare steps, all runs together.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from torch import Tensor

from src.loop import LossCurves, step, training_loop
from src.losses import Loss, log_cosh, mse
from src.models import linear

T_C = torch.tensor([0.5, 14.0, 15.0, 28.0, 11.0, 8.0, 3.0, -4.0, 6.0, 13.0, 21.0])
T_U = 0.1 * torch.tensor([35.7, 55.9, 58.2, 81.9, 56.3, 48.9, 33.9, 21.8, 48.4, 60.4, 68.4])
POINTS = 50  # of a curve
EPOCHS = 5000
TURNS = 5


def captured(loss: Loss, lr: Tensor, epochs: int) -> None:
    """As a sweep trains."""
    schedule = range(epochs // POINTS, epochs + 1, epochs // POINTS)
    start = torch.tensor([1.0, 0.0]).repeat(len(lr), 1)
    training_loop(epochs, lr, start, T_U, T_C, loss_fn=loss, curves=LossCurves([schedule] * len(lr)))


def eager(loss: Loss, lr: Tensor, epochs: int) -> None:
    """The chapter's loop, for all runs at once."""
    params, rates = torch.tensor([1.0, 0.0]).repeat(len(lr), 1), lr[:, None]
    for _ in range(epochs):
        _, params = step(params, rates, T_U[None], T_C[None], model=linear, loss_fn=loss)


def seconds(train: Callable[[], None]) -> float:
    start = time.process_time()
    train()
    return time.process_time() - start


def main() -> None:
    """Print the table: the medians of the turns, the ratio's of each turn's own."""
    torch.set_num_threads(1)
    print("| loss | runs | eager, µs an epoch | captured, µs an epoch | ratio |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for loss in (mse, log_cosh):
        for runs in (1, 60, 1000, 10_000):
            lr = torch.linspace(1e-4, 3e-2, runs)
            few = max(100, EPOCHS // 10 // (1 + runs // 1000))  # of the bare steps, which are all alike
            turns = [
                (
                    seconds(partial(eager, loss, lr, few)) / few,
                    seconds(partial(captured, loss, lr, EPOCHS)) / EPOCHS,
                )
                for _ in range(TURNS)
            ]
            ratio = median(after / before for before, after in turns)
            before, after = (1e6 * median(side) for side in zip(*turns, strict=True))
            print(f"| {loss.__name__} | {runs:,} | {before:.0f} | {after:.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
