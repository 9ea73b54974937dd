"""The chapter's facts. Source: "Deep Learning with PyTorch", the section on PyTorch's autograd."""

import pytest
import torch
from torch import Tensor

from src.loop import training_loop
from src.losses import mse
from src.models import linear

# Epoch -> loss of the chapter's run, float32 on CPU; the last digit moves between machines.
TABLE = {
    500: 7.860116,
    1000: 3.828538,
    1500: 3.092191,
    2000: 2.957697,
    2500: 2.933134,
    3000: 2.928648,
    3500: 2.927830,
    4000: 2.927679,
    4500: 2.927652,
    5000: 2.927647,
}
TOLERANCE = 5e-6


def test_no_gradient_before_the_first_backward() -> None:
    assert torch.tensor([1.0, 0.0], requires_grad=True).grad is None


def test_gradient_on_raw_input(t_u: Tensor, t_c: Tensor) -> None:
    params = torch.tensor([1.0, 0.0], requires_grad=True)
    mse(linear(t_u, *params), t_c).backward()
    assert params.grad is not None
    torch.testing.assert_close(params.grad, torch.tensor([4517.2969, 82.6000]), rtol=0, atol=1e-3)


def test_gradients_accumulate_over_backwards_without_zeroing(t_u: Tensor, t_c: Tensor) -> None:
    params = torch.tensor([1.0, 0.0], requires_grad=True)
    mse(linear(t_u, *params), t_c).backward()
    assert params.grad is not None
    once = params.grad.clone()
    mse(linear(t_u, *params), t_c).backward()
    assert torch.equal(params.grad, 2 * once)
    params.grad.zero_()
    mse(linear(t_u, *params), t_c).backward()
    assert torch.equal(params.grad, once)


def test_an_accumulated_gradient_of_the_callers_does_not_enter_the_loop(t_u: Tensor, t_c: Tensor) -> None:
    fresh = torch.tensor([1.0, 0.0], requires_grad=True)
    used = torch.tensor([1.0, 0.0], requires_grad=True)
    mse(linear(t_u, *used), t_c).backward()
    assert used.grad is not None
    before = used.grad.clone()
    results = [training_loop(10, 1e-2, params, 0.1 * t_u, t_c) for params in (fresh, used)]
    assert torch.equal(*results)
    assert torch.equal(used.grad, before)
    assert torch.equal(used, torch.tensor([1.0, 0.0]))


def test_training_loop_prints_and_returns_the_chapters_numbers(
    t_u: Tensor, t_c: Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    params = training_loop(
        n_epochs=5000,
        learning_rate=1e-2,
        params=torch.tensor([1.0, 0.0], requires_grad=True),
        t_u=0.1 * t_u,
        t_c=t_c,
    )
    words = [line.replace(",", "").split() for line in capsys.readouterr().out.splitlines()]
    assert [word[0::2] for word in words] == [["Epoch", "Loss"]] * 10
    assert {int(word[1]): float(word[3]) for word in words} == pytest.approx(TABLE, abs=TOLERANCE)
    torch.testing.assert_close(params, torch.tensor([5.3671, -17.3012]), rtol=0, atol=5e-5)


def test_float64_gives_its_own_losses(t_u: Tensor, t_c: Tensor, capsys: pytest.CaptureFixture[str]) -> None:
    readings = torch.tensor([float(f"{value:.1f}") for value in t_u], dtype=torch.float64)
    training_loop(5000, 1e-2, torch.tensor([1.0, 0.0], dtype=torch.float64), 0.1 * readings, t_c)
    lines = capsys.readouterr().out.splitlines()
    # six digits are printed; the record holds them all, see test_record.py
    assert float(lines[0].split()[-1]) == pytest.approx(7.8601243, abs=5.5e-7)
    assert float(lines[-1].split()[-1]) == pytest.approx(2.9276467, abs=5.5e-7)


def test_without_normalization_the_loss_is_infinite_at_epoch_11(t_u: Tensor, t_c: Tensor) -> None:
    from src.loop import LossCurves

    curves = LossCurves([range(1, 21)])
    training_loop(20, 1e-2, torch.tensor([1.0, 0.0]), t_u, t_c, curves=curves)
    assert curves.diverged_at.tolist() == [11]
    assert curves.points.tolist() == [10]
    assert curves.losses[0, :10].isfinite().all()


def test_any_differentiable_function_may_stand_where_model_and_loss_stand(t_u: Tensor, t_c: Tensor) -> None:
    def exponential(t_u: Tensor, a: Tensor, k: Tensor) -> Tensor:
        return a * torch.exp(k * t_u)

    def absolute(t_p: Tensor, t_c: Tensor) -> Tensor:
        return (t_p - t_c).abs().mean(dim=-1)

    start = torch.tensor([1.0, 0.0])
    before = absolute(exponential(0.01 * t_u, *start), t_c)
    params = training_loop(200, 1e-2, start, 0.01 * t_u, t_c, model=exponential, loss_fn=absolute)
    assert absolute(exponential(0.01 * t_u, *params), t_c) < 0.8 * before
