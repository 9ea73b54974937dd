"""Runs that are ready -> their results: those that can share tensors train in one call of the loop.

A run's numbers do not depend on the company it trains in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from ..loop import LossCurves, training_loop
from .plan import Run
from .result import Result, measure

OnRecord = Callable[[int, LossCurves], object]  # told of each epoch at which losses were recorded
Steps = Callable[[str, int, str, int], AbstractContextManager[Callable[[int], object]]]

# R * N of one call of the loop: 2**22 float64 values are 32 MiB, and the loop holds fifteen such tensors
MOST_ELEMENTS = 2**22


def calibrate(
    runs: Sequence[Run],
    on_record: OnRecord = lambda epoch, curves: None,
    stop: Callable[[], bool] = lambda: False,
    steps: Steps = lambda doing, of, unit, jobs: nullcontext(lambda reached: None),
) -> list[Result]:
    """Train all runs, in the order given; `stop` ends the work early and leaves the rest `killed`.

    `steps` opens a step of the work, of so many runs, which counts to `of` by what it gives.
    """
    done: dict[int, Result] = {}
    for part in parts(runs):
        together = _train_together([runs[index] for index in part], on_record, stop, steps)
        done.update(zip(part, together, strict=True))
    return [done[index] for index in range(len(runs))]


def parts(runs: Sequence[Run]) -> Iterator[list[int]]:
    """The places of runs that train together, as many as memory holds.

    Runs of several lengths do not: a row that ends in zeros is added in another order, with other last bits.
    """
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for index, run in enumerate(runs):
        groups[run.problem.company].append(index)
    for group in groups.values():
        width = max(1, MOST_ELEMENTS // len(runs[group[0]].problem.t_u))
        yield from (group[start : start + width] for start in range(0, len(group), width))


def _train_together(
    runs: list[Run], on_record: OnRecord, stop: Callable[[], bool], steps: Steps
) -> list[Result]:
    """One call of the loop: R runs on the same readings, or each on its own."""
    starts = [run.settings.model.start_in_order for run in runs]
    epochs = [run.settings.epochs for run in runs]
    with steps("training", max(epochs), "epochs", len(runs)) as reached:

        def record(epoch: int, curves: LossCurves) -> None:
            reached(epoch)
            on_record(epoch, curves)

        curves = LossCurves([run.schedule for run in runs], record)
        trained = training_loop(
            n_epochs=torch.tensor(epochs),
            params=torch.tensor(starts, dtype=runs[0].input.t_un.dtype, device=runs[0].settings.device),
            curves=curves,
            stop=stop,
            **given(runs),
        )
    with steps("measuring", len(runs), "runs", len(runs)) as reached:
        _date_divergences(runs, curves)
        results = []
        for result in measure(runs, trained, curves):
            results.append(result)
            reached(len(results))
    return results


def given(runs: list[Run]) -> dict[str, Any]:
    """What the loop is given of runs besides where they start and how far they go."""
    roots = [root for run in runs if (root := run.problem.weights.root) is not None]  # all have one, or none
    return {
        "learning_rate": _rates(runs),
        "t_u": _rows([run.input.t_un for run in runs]),
        "t_c": _rows([run.problem.t_c for run in runs]),
        "model": runs[0].problem.model,
        "loss_fn": runs[0].problem.loss,
        "root": _rows(roots) if roots else None,
    }


def _date_divergences(runs: list[Run], curves: LossCurves) -> None:
    """Set `diverged_at` to the first epoch that was not finite, whichever were recorded.

    What was found at a recorded epoch is found again from the one recorded before, epoch by epoch.
    """
    late = torch.nonzero(curves.diverged_at)[:, 0]
    if not len(late):
        return
    recorded = torch.cat([torch.ones_like(curves.epochs[:, :1]), curves.epochs], dim=-1)
    since = recorded[late, curves.points[late]]  # the last epoch whose loss was finite, or the first of all
    lengths = curves.diverged_at[late] - since + 1
    every = LossCurves([range(1, length + 1) for length in lengths.tolist()])
    rows = given([runs[place] for place in late.tolist()])
    training_loop(n_epochs=lengths, params=curves.measured[late], curves=every, **rows)
    curves.diverged_at[late] = since + every.diverged_at - 1


def _rows(columns: list[Tensor]) -> Tensor:
    """R columns (N,), one and the same or each its own -> (N,) or (R, N)."""
    return columns[0] if all(each is columns[0] for each in columns) else torch.stack(columns)


def _rates(runs: Sequence[Run]) -> Tensor:
    """(R,), or (R, K) where parameters are scaled: there a step is one times the square of the scale."""
    rates = torch.tensor([run.settings.lr for run in runs], dtype=torch.float64)
    if all(run.settings.scaling == "none" for run in runs):
        return rates
    return rates[:, None] * torch.stack([run.input.yardstick.scales for run in runs]) ** 2
