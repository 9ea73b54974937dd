"""THE training loop: gradient descent by autograd, for one run and for ten thousand at once.

    params = training_loop(5000, 1e-2, torch.tensor([1.0, 0.0]), 0.1 * t_u, t_c)   # the chapter's

Shapes: R runs, N observations, K parameters, P recorded points of a loss curve. Every run has its
own loss, and the gradient of the sum of the losses holds each run's own gradient and nothing of its
neighbours'; each run steps with its own learning rate. A run that is done, or whose loss is no
longer finite, leaves the work. `step` is an epoch; that it is captured and run again, see `steps`,
changes nothing but the time: every run has, to the bit, the numbers of its eager steps alone.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from .losses import Loss, mse
from .models import Model, linear
from .steps.captured import MismatchError, Step
from .steps.tape import CaptureError
from .steps.work import Work, captured, eager

log = logging.getLogger(__name__)

CHAPTER_EVERY = 500  # the chapter prints the loss each 500 epochs


class LossCurves:
    """The losses of R runs at chosen epochs, filled in by the loop.

    `epochs` (R, P) int64 and `losses` (R, P) are padded with 0 and NaN behind each run's last point;
    `points` (R,) counts the recorded ones; `diverged_at` (R,) is the first recorded epoch at which
    the run was not finite, 0 where there was none. Losses are measured before an epoch's update: `path`
    (R, P, K) holds the parameters at each point, `measured` (R, K) those at each run's last.
    """

    def __init__(
        self,
        schedules: Iterable[Iterable[int]],
        on_record: Callable[[int, LossCurves], object] = lambda epoch, curves: None,
    ) -> None:
        """`schedules`: for each run the epochs to record, ascending; `on_record` is told of each."""
        alike: dict[tuple[int, ...], list[int]] = defaultdict(list)  # runs by their schedule
        for run, schedule in enumerate(schedules):
            alike[tuple(schedule)].append(run)
        n_runs, width = sum(map(len, alike.values())), max(map(len, alike), default=0)
        self.epochs = torch.zeros(n_runs, width, dtype=torch.int64)
        due: dict[int, list[int]] = defaultdict(list)
        for schedule, runs in alike.items():
            self.epochs[runs, : len(schedule)] = torch.tensor(schedule, dtype=torch.int64)
            for epoch in schedule:
                due[epoch] += runs
        self.due = {epoch: torch.tensor(sorted(runs)) for epoch, runs in due.items()}
        self.points = torch.zeros(n_runs, dtype=torch.int64)
        self.diverged_at = torch.zeros(n_runs, dtype=torch.int64)
        self.losses = torch.empty(0)
        self.path = self.measured = torch.empty(0)
        self.on_record = on_record

    def start(self, params: Tensor) -> None:
        """Allocate for `params` (R, K), on their device and in their dtype."""
        device = params.device
        self.epochs = self.epochs.to(device)
        self.points = torch.zeros(len(self.epochs), dtype=torch.int64, device=device)
        self.diverged_at = torch.zeros_like(self.points)
        self.due = {epoch: runs.to(device) for epoch, runs in self.due.items()}
        self.losses = params.new_full(self.epochs.shape, float("nan"))
        self.path = params.new_full((*self.epochs.shape, params.shape[-1]), float("nan"))
        self.measured = params.clone()

    def record(self, epoch: int, runs: Tensor, losses: Tensor, before: Tensor, after: Tensor) -> None:
        """Take the losses (A,) of the runs at work (A,), and their parameters (A, K) around the update.

        `diverged_at` is set where the loss or the update is not finite.
        """
        at = torch.searchsorted(runs, self.due[epoch]).clamp(max=len(runs) - 1)
        at = at[runs[at] == self.due[epoch]]  # due, and still at work
        due, losses, before, after = runs[at], losses[at], before[at], after[at]
        slot = self.points[due]

        finite = torch.isfinite(losses)
        overflown = ~torch.isfinite(after).all(dim=-1)
        self.diverged_at[due[~finite | overflown]] = epoch
        self.losses[due[finite], slot[finite]] = losses[finite]
        self.path[due[finite], slot[finite]] = self.measured[due[finite]] = before[finite]
        self.points[due[finite]] += 1
        self.on_record(epoch, self)


def print_loss(epoch: int, curves: LossCurves) -> None:
    """The chapter's line for one run: `Epoch 500, Loss 7.860116`."""
    at = int(curves.points[0]) - 1
    if at >= 0 and curves.epochs[0, at] == epoch:
        print(f"Epoch {epoch}, Loss {float(curves.losses[0, at]):f}")


@torch.enable_grad()
def step(
    params: Tensor,
    lr: Tensor,
    t_u: Tensor,
    t_c: Tensor,
    root: Tensor | None = None,
    *,
    model: Model,
    loss_fn: Loss,
) -> tuple[Tensor, Tensor]:
    """One epoch: params and lr (R, K), t_u and t_c (1 or R, N) -> losses (R,) before, params (R, K) after.

    Where there is a `root` (1 or R, N), predictions are multiplied by it, and `t_c` is already.
    """
    # A new leaf in each epoch: its grad starts empty, nothing to zero, and no epoch's graph outlives it.
    params = params.detach().requires_grad_()
    t_p = model(t_u, *params.unsqueeze(-1).unbind(-2))  # (R, N)
    losses = loss_fn(t_p if root is None else root * t_p, t_c)  # (R,)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    assert params.grad is not None
    return losses.detach(), params.detach() - lr * params.grad


def training_loop(
    n_epochs: int | Tensor,
    learning_rate: float | Tensor,
    params: Tensor,
    t_u: Tensor,
    t_c: Tensor,
    *,
    model: Model = linear,
    loss_fn: Loss = mse,
    root: Tensor | None = None,
    curves: LossCurves | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Tensor:
    """Train and return the final parameters, in the shape in which they were given.

    `loss_fn` gives each run's own loss, a mean over the last dimension: `mean(dim=-1)`, not `mean()`.
    `params` (K,) or (R, K); `t_u` and `t_c` (N,) or (R, N); `n_epochs` and `learning_rate` one for
    all runs, or (R,); a rate for each parameter is (R, K). Without `curves` it prints the loss every 500
    epochs, as the chapter does. With the square roots of the observations' weights, `root` (N,) or (R, N),
    the loss is of predictions and targets times these. The loop ends early, between two epochs, when
    `stop()` says so. Memory does not depend on the epochs. Torch takes one thread meanwhile. Where a
    captured step turns out not to be what `step` gives, all begins anew without, and `curves` too.
    Source of the update: `params -= learning_rate * params.grad`, "Deep Learning with PyTorch", the
    section on autograd.
    """
    shape = params.shape
    # A tensor of the loop's own: the caller's keeps its values, its grad and its graph.
    params = params.detach().reshape(-1, shape[-1]).clone()  # (R, K)
    last = _per_run(n_epochs, params).long()  # (R,)
    lr = _rates(learning_rate, params).to(params.dtype)  # (R, K)
    t_u = _rows(t_u, params)  # (1 or R, N)
    t_c = _rows(t_c, params)
    rows = [params, lr, t_u, t_c]
    if root is not None:
        root = _rows(root, params)
        rows[3:] = [t_c * root, root]
    if curves is None:
        curves = LossCurves([_every(CHAPTER_EVERY, int(n)) for n in last], on_record=print_loss)
    take_step = partial(step, model=model, loss_fn=loss_fn)
    descend = partial(_descend, take_step, last, rows, curves, stop)
    with _one_thread(), torch.no_grad():
        try:
            final = descend(captured if params.device.type == "cpu" else eager)
        except (CaptureError, MismatchError) as why:
            log.warning("%s: all runs train from the start, step by step and one by one", why)
            final = descend(eager)
    return final.reshape(shape)


def _descend(
    step: Step,
    last: Tensor,
    rows: list[Tensor],
    curves: LossCurves,
    stop: Callable[[], bool],
    begin: Callable[[Step, list[Tensor]], Work],
) -> Tensor:
    """The epochs -> the final parameters (R, K). Raises what `begin` and its work do."""
    curves.start(rows[0])
    final = rows[0].clone()
    runs = torch.arange(len(final), device=final.device)[last > 0]  # the runs at work (A,), ascending
    if not len(runs):
        return final
    rows, last = _keep(last > 0, rows), last[runs]
    work = begin(step, rows)

    ends = set(last.tolist())
    for epoch in range(1, max(ends) + 1):
        if stop():
            break
        if epoch not in curves.due and epoch not in ends:
            work.step()
            continue
        losses, before, after = work.measured_step()
        if epoch in curves.due:
            curves.record(epoch, runs, losses, before, after)
        staying = (last > epoch) & (curves.diverged_at[runs] == 0)
        if not staying.all():
            final[runs[~staying]] = after[~staying]
            if not staying.any():
                return final
            runs, last, rows = runs[staying], last[staying], _keep(staying, [after, *rows[1:]])
            work = begin(step, rows)
    final[runs] = work.params
    return final


def _every(step: int, n_epochs: int) -> list[int]:
    epochs = list(range(step, n_epochs + 1, step))
    return epochs if n_epochs < 1 or n_epochs % step == 0 else [*epochs, n_epochs]


def _per_run(value: float | Tensor, params: Tensor) -> Tensor:
    """One value for all runs, or (R,) -> (R,)."""
    values = torch.as_tensor(value, device=params.device).reshape(-1)
    return values.expand(len(params)) if len(values) in (1, len(params)) else _refuse(values, params)


def _rates(values: float | Tensor, params: Tensor) -> Tensor:
    """One rate for all runs, (R,) or (R, K) -> (R, K)."""
    # a number of Python's has more digits than float32, in which torch would take it
    dtype = values.dtype if isinstance(values, Tensor) else params.dtype
    rates = torch.as_tensor(values, dtype=dtype, device=params.device)
    if rates.shape == params.shape:
        return rates
    return _per_run(rates, params)[:, None].repeat(1, params.shape[1])


def _rows(values: Tensor, params: Tensor) -> Tensor:
    """(N,) -> (1, N), shared by all runs; (R, N) as it is."""
    rows = values.to(params.device, params.dtype)
    rows = rows[None] if rows.dim() == 1 else rows
    return rows if rows.dim() == 2 and len(rows) in (1, len(params)) else _refuse(values, params)


def _refuse(values: Tensor, params: Tensor) -> Tensor:
    raise ValueError(
        f"{tuple(values.shape)} does not fit the {len(params)} run(s) of params {tuple(params.shape)}: "
        "give one value or row for all, or one for each run"
    )


def _keep(staying: Tensor, rows: list[Tensor]) -> list[Tensor]:
    """Those of the staying runs; what all runs share stays shared."""
    return [each if len(each) == 1 != len(staying) else each[staying] for each in rows]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch adds up a long row in another order for every number of threads: other last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
