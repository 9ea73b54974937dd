"""Captured steps: for each run, in any company, to the bit what a plain eager loop makes of it alone."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from src.loop import LossCurves, step, training_loop
from src.losses import Loss, huber, log_cosh, mae, mse
from src.models import MODELS, Model, linear
from src.steps.captured import Captured, of_run
from src.steps.tape import STEADY, STEADY_POWERS, UnsteadyError, with_gaps

EPOCHS = 12
RECORDED = (1, 2, 7, 12)

STARTS = {
    "linear": (1.0, 0.0),
    "quadratic": (0.1, 1.0, 0.0),
    "exponential": (1.0, 0.3, 0.0),
    "power": (1.0, 0.7),
    "steinhart_hart": (3e-3, 1e-4, 1e-5),
}
SHIPPED_LOSSES = {
    "mse": mse,
    "mae": mae,
    "huber": lambda t_p, t_c: huber(t_p, t_c, delta=0.5),
    "log_cosh": log_cosh,
}


def halves(t_u: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """One line for the first three readings, another for the others, written into an empty tensor."""
    t_p = torch.empty_like(w * t_u)
    t_p[..., :3] = w * t_u[..., :3] + b
    t_p[..., 3:] = b * t_u[..., 3:] + w
    return t_p


# models of two parameters, as a user may write them
OTHER_MODELS: dict[str, Model] = {
    "sigmoid": lambda t_u, w, b: w * torch.sigmoid(b * t_u) + b,
    "cosh": lambda t_u, w, b: w * torch.cosh(b * t_u),
    "power 0.7": lambda t_u, w, b: (w.abs() * t_u + 1) ** 0.7 + b,
    "silu": lambda t_u, w, b: functional.silu(w * t_u) + b,
    "logaddexp": lambda t_u, w, b: torch.logaddexp(w * t_u, b),
    "gelu": lambda t_u, w, b: functional.gelu(w * t_u) + b,
    "of parameters": lambda t_u, w, b: torch.sigmoid(w) * t_u + torch.cosh(b),
    "tanh": lambda t_u, w, b: w * torch.tanh(t_u) + b,
    "rational": lambda t_u, w, b: (w * t_u + b) / (1 + 0.1 * b * t_u),
    "stacked": lambda t_u, w, b: torch.sigmoid(torch.stack([w * t_u, b + 0 * t_u])).sum(0),
    "item": lambda t_u, w, b: w * t_u + b if w.sum().item() > 0.9 else b * t_u + w,
    "numpy": lambda t_u, w, b: w * t_u + b if w.detach().numpy().sum() > 0.9 else b * t_u + w,
    "in place": lambda t_u, w, b: torch.cosh(0.3 * w * t_u).mul_(2).add_(b),
    "halves": halves,
    "zeros": lambda t_u, w, b: torch.zeros_like(t_u * w).add_(w * t_u).add_(b),
    "copy in place": lambda t_u, w, b: (w * t_u).clone().add_(b) * (w * t_u).clone(),
    "alike": lambda t_u, w, b: (w + b) * t_u,  # both have the same gradient
    "centred": lambda t_u, w, b: w * (t_u - t_u.mean(-1, keepdim=True)) + b,
}
OTHER_LOSSES: dict[str, Loss] = {
    "where": lambda p, t: torch.where((p - t).abs() < 1, (p - t) ** 2, (p - t).abs()).mean(-1),
    "clamp": lambda p, t: ((p - t) ** 2).clamp(max=4.0).mean(-1),
    "einsum": lambda p, t: torch.einsum("rn,rn->r", p - t, p - t) / p.shape[-1],
    "root": lambda p, t: torch.sigmoid(mse(p, t).sqrt()),
    "sorted": lambda p, t: ((p - t) ** 2).sort(-1).values[..., :5].mean(-1),
    "norm": lambda p, t: torch.linalg.vector_norm(p - t, dim=-1),
    "spread": lambda p, t: (p - t).std(-1) + mse(p, t),
    "by columns": lambda p, t: ((p - t).T ** 2).mean(0),
}


def problem(runs: int, n: int, dtype: torch.dtype, own: bool) -> tuple[Tensor, Tensor, Tensor]:
    """t_u and t_c, (N,) shared or (R, N) own, all above 0.5, and a rate (R,) for each run."""
    random = torch.Generator().manual_seed(runs + n)
    t_u = 0.5 + 2 * torch.rand(runs, n, generator=random, dtype=dtype)
    t_c = 1 + 0.7 * t_u + 0.1 * torch.rand(runs, n, generator=random, dtype=dtype)
    rates = torch.linspace(1e-3, 3e-2, runs, dtype=torch.float64)
    return (t_u, t_c, rates) if own else (t_u[0], t_c[0], rates)


def ten_lines(
    model: Model, loss_fn: Loss, rate: float, start: Tensor, t_u: Tensor, t_c: Tensor, epochs: int = EPOCHS
) -> tuple[Tensor, list[float]]:
    """One run's final parameters (K,) and recorded losses by a loop as plain as the chapter's."""
    params = start.clone().requires_grad_()
    recorded = []
    for epoch in range(1, epochs + 1):
        loss = loss_fn(model(t_u[None], *params[:, None, None]), t_c[None])
        params.grad = None
        loss.backward()
        with torch.no_grad():
            params -= torch.tensor(rate, dtype=params.dtype) * params.grad
        if epoch in RECORDED:
            recorded.append(loss.item())
    return params.detach(), recorded


def check(model: Model, loss: Loss, start: Tensor, runs: int, n: int, own: str, threads: int = 1) -> None:
    """The runs in company equal the ten lines; of many, some twenty are looked at, wherever they lie."""
    t_u, t_c, rates = problem(runs, n, start.dtype, own != "shared")
    t_c = t_c[0] if own == "t_u" else t_c
    curves = LossCurves([RECORDED] * runs)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        starts = start.repeat(runs, 1)
        found = training_loop(EPOCHS, rates, starts, t_u, t_c, model=model, loss_fn=loss, curves=curves)
        assert torch.get_num_threads() == threads
        torch.set_num_threads(1)
        for run in range(0, runs, runs // 20 | 1):  # an odd step: at each place in a vector register
            mine, truth = (each if each.dim() == 1 else each[run] for each in (t_u, t_c))
            params, losses = ten_lines(model, loss, float(rates[run]), start, mine, truth)
            assert curves.losses[run].tolist() == losses
            assert torch.equal(found[run], params)
    finally:
        torch.set_num_threads(before)


SHIPPED = [*product(STARTS, SHIPPED_LOSSES)]
OTHERS = [*((name, "mse") for name in OTHER_MODELS), *(("linear", name) for name in OTHER_LOSSES)]
DTYPES = [torch.float32, torch.float64]


def chosen(model: str, loss: str, dtype: torch.dtype) -> tuple[Model, Loss, Tensor]:
    start = torch.tensor(STARTS.get(model, (1.0, 0.2)), dtype=dtype)
    return {**MODELS, **OTHER_MODELS}[model], {**SHIPPED_LOSSES, **OTHER_LOSSES}[loss], start


@pytest.mark.parametrize(("model", "loss"), SHIPPED + OTHERS)
def test_a_run_in_company_as_alone(model: str, loss: str) -> None:
    check(*chosen(model, loss, torch.float32), runs=9, n=11, own="both")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("model", "loss"), SHIPPED + OTHERS)
def test_any_company(model: str, loss: str, dtype: torch.dtype) -> None:
    """As many runs as observations, many short rows, and rows long enough for several threads to share."""
    shapes = ((2, 40_000, 2, "both"), (7, 7, 2, "t_u"), (250, 13, 2, "both"))
    others = ((1, 7, 1, "shared"), (60, 11, 1, "shared"), (3, 1000, 1, "t_u"))
    for runs, n, threads, own in (*shapes, *(others if dtype is torch.float32 else ())):
        check(*chosen(model, loss, dtype), runs=runs, n=n, own=own, threads=threads)


CANNOT = {"item": "reads a value", "numpy": "reads values", "zeros": "in place"}


@pytest.mark.parametrize(
    ("model", "loss"), [each for each in SHIPPED + OTHERS if not CANNOT.keys() & set(each)]
)
def test_nearly_all_is_captured(model: str, loss: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing in the log: no step was taken otherwise."""
    check(*chosen(model, loss, torch.float64), runs=3, n=11, own="shared")
    assert not caplog.records


@pytest.mark.parametrize("name", CANNOT)
def test_what_cannot_be_captured_is_said(name: str, caplog: pytest.LogCaptureFixture) -> None:
    pair = (name, "mse") if name in OTHER_MODELS else ("linear", name)
    check(*chosen(*pair, torch.float32), runs=2, n=11, own="shared")
    (record,) = caplog.records
    assert CANNOT[name] in record.getMessage()


def test_a_random_function_trains_as_in_ten_lines() -> None:
    """From the same seed: nothing is drawn before the first epoch."""

    def noisy(t_u: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return w * t_u + b + torch.randn_like(t_u)

    t_u, t_c, _ = problem(1, 11, torch.float32, own=False)
    start = torch.tensor([1.0, 0.0])
    torch.manual_seed(3)
    found = training_loop(EPOCHS, 1e-2, start, t_u, t_c, model=noisy, curves=LossCurves([RECORDED]))
    torch.manual_seed(3)
    assert torch.equal(found, ten_lines(noisy, mse, 1e-2, start, t_u, t_c)[0])


def test_a_function_that_counts_its_calls(caplog: pytest.LogCaptureFixture) -> None:
    """No tape sees the count; the eager step does. The last calls of all are those of the epochs."""
    calls = 0

    def counting(t_u: Tensor, w: Tensor, b: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return w * t_u + b * (calls % 3)

    t_u, t_c, _ = problem(1, 11, torch.float32, own=False)
    start, curves = torch.tensor([1.0, 0.2]), LossCurves([RECORDED])
    found = training_loop(EPOCHS, 1e-2, start, t_u, t_c, model=counting, curves=curves)
    calls -= EPOCHS
    params, losses = ten_lines(counting, mse, 1e-2, start, t_u, t_c)
    assert torch.equal(found, params)
    assert curves.losses[0].tolist() == losses
    (record,) = caplog.records
    assert "from the start" in record.getMessage()


def test_a_state_that_changes_later() -> None:
    """All epochs are trained with what the function is in the end, and each is recorded once."""
    factor = 1.0

    def change(epoch: int, _: LossCurves) -> None:
        nonlocal factor
        factor = 2.0 if epoch == 7 else factor

    def scaled(t_u: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return factor * w * t_u + b

    t_u, t_c, rates = problem(5, 11, torch.float32, own=False)
    start, curves = torch.tensor([1.0, 0.2]), LossCurves([RECORDED] * 5, change)
    found = training_loop(EPOCHS, rates, start.repeat(5, 1), t_u, t_c, model=scaled, curves=curves)
    for run in range(5):
        params, losses = ten_lines(scaled, mse, float(rates[run]), start, t_u, t_c)
        assert torch.equal(found[run], params)
        assert curves.losses[run].tolist() == losses
    assert curves.points.tolist() == [len(RECORDED)] * 5


Operation = Callable[[Tensor, Tensor], Tensor]


def called(name: str, operands: int) -> Operation:
    function = getattr(torch, name)
    return lambda x, y: function(*(x, y)[:operands])


STEADY_EXAMPLES: dict[str, Operation] = {
    **{name: called(name, 1) for name in ("neg", "abs", "sgn", "sign", "reciprocal", "sqrt", "exp", "expm1")},
    **{name: called(name, 1) for name in ("log", "log1p", "tanh", "logical_not", "clone")},
    **{name: called(name, 2) for name in ("add", "sub", "rsub", "mul", "div", "maximum", "minimum")},
    **{name: called(name, 2) for name in ("eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or")},
    "pow": lambda x, y: torch.stack([x**power for power in STEADY_POWERS], dim=1),
    "where": lambda x, y: torch.where(x < y, x, y),
    "masked_fill": lambda x, y: x.masked_fill(x > 0, 3.0),
    "clamp": lambda x, y: x.clamp(-0.5, 0.5),
    "clamp_min": lambda x, y: x.clamp_min(0.1),
    "clamp_max": lambda x, y: x.clamp_max(0.1),
    "sum": lambda x, y: x.sum(-1),
    "mean": lambda x, y: x.mean(-1),
    "amax": lambda x, y: x.amax(-1),
    "amin": lambda x, y: x.amin(-1),
    "stack": lambda x, y: torch.stack([x, x], dim=1),
    "cat": lambda x, y: torch.cat([x, x], dim=1),
    "slice_backward": lambda x, y: torch.ops.aten.slice_backward(x, [len(x), 9999], 1, 0, x.shape[1], 1),
    "select_backward": lambda x, y: torch.ops.aten.select_backward(x[:, 0], x.shape, 1, 0),
    "fill": lambda x, y: torch.fill(x, 0.3),
    "zero": lambda x, y: x.clone().zero_(),
    "copy": lambda x, y: torch.empty_like(x).copy_(x),
    "_to_copy": lambda x, y: x.to(torch.float64),
    "ones_like": lambda x, y: torch.ones_like(x),
    "zeros_like": lambda x, y: torch.zeros_like(x),
    "full_like": lambda x, y: torch.full_like(x, 0.3),
    "new_empty_strided": lambda x, y: x.new_empty_strided(x.shape, x.stride()).copy_(x),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(STEADY))
def test_steady_operations(name: str, dtype: torch.dtype) -> None:
    """Each row of a packed tensor as that row alone; beside it one of its own, a shared one, a number."""
    random = torch.Generator().manual_seed(1)
    for (runs, n), size in product(
        [(7, 7), (50, 11), (33, 13), (5, 1000), (64, 1), (3, 4099)], [1e-3, 1, 30, 1e5]
    ):
        x, own = size * torch.randn(2, runs, n, generator=random, dtype=dtype)
        for y in (own, own[:1], own[:, :1].clone()):
            together = STEADY_EXAMPLES[name](x, y)
            alone = [STEADY_EXAMPLES[name](*of_run(run, x, y)) for run in range(runs)]
            torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=0, equal_nan=True)


def captured(model: Model, loss: Loss, runs: int = 5) -> Captured:
    t_u, t_c, rates = problem(runs, 11, torch.float32, own=False)
    start = torch.tensor([1.0, 0.2]).repeat(runs, 1)
    lr = rates.float()[:, None].expand_as(start)
    with torch.no_grad():
        return Captured(partial(step, model=model, loss_fn=loss), start, lr, t_u[None], t_c[None])


@pytest.mark.parametrize("name", ["sigmoid", "cosh", "power 0.7", "silu", "logaddexp", "of parameters"])
def test_unsteady_operations_get_gaps(name: str) -> None:
    """One place more between two runs' parameters; a run alone needs none."""
    assert captured(OTHER_MODELS[name], mse).params.stride() == (3, 1)
    assert captured(OTHER_MODELS[name], mse, runs=1).params.stride() == (2, 1)
    assert captured(linear, mse).params.stride() == (2, 1)


@pytest.mark.parametrize("name", ["gelu", "stacked", "einsum", "spread", "sorted", "by columns"])
def test_what_differs_with_gaps_too_goes_one_by_one(name: str) -> None:
    model, loss = OTHER_MODELS.get(name, linear), OTHER_LOSSES.get(name, mse)
    with pytest.raises(UnsteadyError):
        captured(model, loss)
    captured(model, loss, runs=1)


def test_gaps_leave_each_run_as_it_lies_alone() -> None:
    """Of (2, R, N), the R runs move apart, and a run's 2 * N values stay together."""
    values = torch.arange(30.0).reshape(2, 3, 5)
    apart = with_gaps(values, 3)
    assert torch.equal(apart, values)
    assert apart.stride() == (5, 11, 1)
    assert with_gaps(values[:, 0], 3).stride() == (15, 1)  # nothing in it is of three runs


NO_COMPILER = """
import sys, torch
from src.loop import training_loop
training_loop(10, 1e-2, torch.tensor([1.0, 0.0]), torch.ones(3), torch.ones(3))
assert not [name for name in sys.modules if name.startswith("torch._dynamo")]
"""


@pytest.mark.slow
def test_torchs_compiler_is_not_imported() -> None:
    """It takes a second."""
    subprocess.run([sys.executable, "-c", NO_COMPILER], check=True)
