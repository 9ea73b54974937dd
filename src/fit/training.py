"""Runs that are ready -> their results: those that can share tensors train in one call of the loop.

A run's numbers do not depend on the company it trains in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ..loop import LossCurves, training_loop
from .plan import Run
from .result import Result, measure
from .schedule import curve_schedule

OnRecord = Callable[[int, LossCurves], object]  # told of each epoch at which losses were recorded

# R * N of one call of the loop: 2**22 float64 values are 32 MiB, and the loop holds fifteen such tensors
MOST_ELEMENTS = 2**22


def calibrate(
    runs: Sequence[Run],
    on_record: OnRecord = lambda epoch, curves: None,
    stop: Callable[[], bool] = lambda: False,
) -> list[Result]:
    """Train all runs, in the order given; `stop` ends the work early and leaves the rest `killed`."""
    done: dict[int, Result] = {}
    for part in _parts(runs):
        together = _train_together([runs[index] for index in part], on_record, stop)
        done.update(zip(part, together, strict=True))
    return [done[index] for index in range(len(runs))]


def _parts(runs: Sequence[Run]) -> Iterator[list[int]]:
    """The places of runs that train together: those of one problem, as many as memory holds."""
    groups: dict[int, list[int]] = defaultdict(list)
    for index, run in enumerate(runs):
        groups[id(run.problem)].append(index)
    for group in groups.values():
        width = max(1, MOST_ELEMENTS // len(runs[group[0]].problem.t_u))
        yield from (group[start : start + width] for start in range(0, len(group), width))


def _train_together(runs: list[Run], on_record: OnRecord, stop: Callable[[], bool]) -> list[Result]:
    """One call of the loop: R runs of one problem, on one input or each on its own."""
    problem, first = runs[0].problem, runs[0].input
    settings = [run.settings for run in runs]
    starts = [run.model.start_in_order for run in settings]
    is_shared = all(run.input is first for run in runs)
    curves = LossCurves([curve_schedule(run.epochs) for run in settings], on_record)
    trained = training_loop(
        n_epochs=torch.tensor([run.epochs for run in settings]),
        learning_rate=_rates(runs),
        params=torch.tensor(starts, dtype=first.t_un.dtype, device=settings[0].device),
        t_u=first.t_un if is_shared else torch.stack([run.input.t_un for run in runs]),
        t_c=problem.t_c,
        model=problem.model,
        loss_fn=problem.loss,
        curves=curves,
        stop=stop,
    )
    return list(measure(runs, trained, curves))


def _rates(runs: Sequence[Run]) -> Tensor:
    """(R,), or (R, K) where parameters are scaled: there a step is one times the square of the scale."""
    rates = torch.tensor([run.settings.lr for run in runs], dtype=torch.float64)
    if all(run.settings.scaling == "none" for run in runs):
        return rates
    return rates[:, None] * torch.stack([run.input.yardstick.scales for run in runs]) ** 2
