"""What an epoch of the training takes, captured: beside the same steps taken anew through autograd each time,
and, of many observations, beside a pass over the memory that these take.

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
OBSERVATIONS = {1_000: 5000, 10_000: 5000, 100_000: 2000, 1_000_000: 500}  # and the epochs


def captured(loss: Loss, lr: Tensor, epochs: int, t_u: Tensor = T_U, t_c: Tensor = T_C) -> None:
    """As a sweep trains."""
    schedule = range(epochs // POINTS, epochs + 1, epochs // POINTS)
    start = torch.tensor([1.0, 0.0]).repeat(len(lr), 1)
    training_loop(epochs, lr, start, t_u, t_c, loss_fn=loss, curves=LossCurves([schedule] * len(lr)))


def eager(loss: Loss, lr: Tensor, epochs: int) -> None:
    """The chapter's loop, for all runs at once."""
    params, rates = torch.tensor([1.0, 0.0]).repeat(len(lr), 1), lr[:, None]
    for _ in range(epochs):
        _, params = step(params, rates, T_U[None], T_C[None], model=linear, loss_fn=loss)


def in_turns(one: Callable[[], None], times: int, other: Callable[[], None], others: int) -> list[float]:
    """Microseconds of each of the `times` and `others` things that they do, and the ratio of the second."""
    turns = [(seconds(one) / times, seconds(other) / others) for _ in range(TURNS)]
    ratio = median(second / first for first, second in turns)
    return [*(1e6 * median(side) for side in zip(*turns, strict=True)), ratio]


def seconds(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def passes(values: Tensor, times: int) -> None:
    """So often two arrays read and a third one written: no operation on all observations takes less."""
    others, sums = values.clone(), torch.empty_like(values)
    for _ in range(times):
        torch.add(values, others, out=sums)


def main() -> None:
    """Print both tables: the medians of the turns, the ratio's of each turn's own."""
    torch.set_num_threads(1)
    of_runs()
    of_observations()


def of_runs() -> None:
    """Captured beside eager, by how many runs train together."""
    print("| loss | runs | eager, µs an epoch | captured, µs an epoch | ratio |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for loss in (mse, log_cosh):
        for runs in (1, 60, 1000, 10_000):
            lr = torch.linspace(1e-4, 3e-2, runs)
            few = max(100, EPOCHS // 10 // (1 + runs // 1000))  # of the bare steps, which are all alike
            before, after, ratio = in_turns(
                partial(eager, loss, lr, few), few, partial(captured, loss, lr, EPOCHS), EPOCHS
            )
            print(f"| {loss.__name__} | {runs:,} | {before:.0f} | {after:.0f} | {ratio:.2f} |", flush=True)


def of_observations() -> None:
    """One run, beside a pass over its observations."""
    print("\n| observations | a pass, µs | captured, µs an epoch | passes an epoch |")
    print("| ---: | ---: | ---: | ---: |")
    for observations, epochs in OBSERVATIONS.items():
        t_u = torch.linspace(2.0, 8.0, observations)
        training = partial(captured, mse, torch.tensor([1e-2]), epochs, t_u, 5 * t_u - 17)
        one, epoch, ratio = in_turns(partial(passes, t_u, epochs), epochs, training, epochs)
        print(f"| {observations:,} | {one:.1f} | {epoch:.0f} | {ratio:.1f} |", flush=True)


if __name__ == "__main__":
    main()
