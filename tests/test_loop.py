"""The loop with many runs: nobody's numbers depend on the company, and memory on the epochs."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from src.loop import LossCurves, training_loop
from src.losses import mse
from src.models import linear


def train(epochs: list[int], rates: list[float], t_u: Tensor, t_c: Tensor) -> tuple[Tensor, LossCurves]:
    curves = LossCurves([[*range(1, n, 7), n] for n in epochs])
    start = torch.tensor([1.0, 0.0]).expand(len(epochs), 2)
    params = training_loop(torch.tensor(epochs), torch.tensor(rates), start, t_u, t_c, curves=curves)
    return params, curves


def test_a_run_gets_the_same_numbers_alone_and_in_company(t_u: Tensor, t_c: Tensor) -> None:
    """Among neighbours that end earlier, later, or diverge."""
    epochs = [400, 1, 950, 300, 400, 33]
    rates = [1e-2, 1e-2, 3e-2, 1.0, 1e-3, 2e-2]
    together, curves = train(epochs, rates, 0.1 * t_u, t_c)
    for run in range(len(epochs)):
        alone, curve = train([epochs[run]], [rates[run]], 0.1 * t_u, t_c)
        points = int(curve.points[0])
        assert int(curves.points[run]) == points
        assert torch.equal(curves.losses[run, :points], curve.losses[0, :points])
        assert torch.equal(curves.epochs[run, :points], curve.epochs[0, :points])
        assert int(curves.diverged_at[run]) == int(curve.diverged_at[0])
        if not curve.diverged_at[0]:
            assert torch.equal(together[run], alone[0])


def test_each_run_may_have_an_input_of_its_own(t_u: Tensor, t_c: Tensor) -> None:
    inputs = torch.stack([0.1 * t_u, 0.05 * t_u])
    curves = LossCurves([[100], [100]])
    together = training_loop(100, 1e-2, torch.tensor([[1.0, 0.0], [1.0, 0.0]]), inputs, t_c, curves=curves)
    for run in range(2):
        alone = training_loop(100, 1e-2, torch.tensor([1.0, 0.0]), inputs[run], t_c)
        assert torch.equal(together[run], alone)


def test_a_run_ends_at_its_last_epoch_whatever_is_recorded(t_u: Tensor, t_c: Tensor) -> None:
    """Asked for 10 epochs beside a run of 100, with a schedule that lacks the tenth."""
    start, epochs = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([10, 100])
    curves = LossCurves([[5], [100]])
    together = training_loop(epochs, 1e-2, start, 0.1 * t_u, t_c, curves=curves)
    for run, n in enumerate([10, 100]):
        assert torch.equal(together[run], training_loop(n, 1e-2, start[run], 0.1 * t_u, t_c))


def test_a_diverged_run_leaves_the_work(t_u: Tensor, t_c: Tensor) -> None:
    """The function is called once for each company, and else by one run, to compare."""
    sizes: list[int] = []

    def spy(t_u: Tensor, w: Tensor, b: Tensor) -> Tensor:
        sizes.append(len(w))
        return w * t_u + b

    curves = LossCurves([range(1, 41), range(1, 41), range(1, 31)])
    training_loop(
        torch.tensor([40, 40, 30]),
        torch.tensor([1e-2, 1e-3, 1.0]),
        torch.tensor([1.0, 0.0]).repeat(3, 1),
        0.1 * t_u,
        t_c,
        model=spy,
        curves=curves,
    )
    diverged_at = int(curves.diverged_at[2])
    assert 0 < diverged_at < 30
    assert sizes == [3] + [1] * diverged_at + [2] + [1] * (40 - diverged_at)


def test_an_update_that_overflows_in_the_last_epoch_is_divergence(t_u: Tensor, t_c: Tensor) -> None:
    """The loss is still finite there, but the parameters could not be used."""
    curves = LossCurves([[1]])
    params = training_loop(1, 3e38, torch.tensor([1.0, 0.0]), t_u, t_c, curves=curves)
    assert not params.isfinite().all()
    assert curves.diverged_at.tolist() == [1]
    assert curves.points.tolist() == [1]


def test_measured_are_the_parameters_of_the_last_recorded_loss(t_u: Tensor, t_c: Tensor) -> None:
    _, curves = train([50], [1e-2], 0.1 * t_u, t_c)
    w, b = curves.measured[0]
    loss = ((w * 0.1 * t_u + b - t_c) ** 2).mean()
    torch.testing.assert_close(curves.losses[0, int(curves.points[0]) - 1], loss)


def test_stop_ends_between_two_epochs_and_keeps_what_was_reached(t_u: Tensor, t_c: Tensor) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 25

    curves = LossCurves([range(1, 101)])
    stopped = training_loop(100, 1e-2, torch.tensor([1.0, 0.0]), 0.1 * t_u, t_c, curves=curves, stop=stop)
    assert curves.points.tolist() == [25]
    assert torch.equal(stopped, training_loop(25, 1e-2, torch.tensor([1.0, 0.0]), 0.1 * t_u, t_c))


@pytest.mark.parametrize(("lr", "t_u_shape"), [(torch.ones(3), (4,)), (0.1, (3, 4)), (0.1, (2, 2, 4))])
def test_shapes_that_fit_no_run_are_refused(lr: Tensor | float, t_u_shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="does not fit the 2 run"):
        training_loop(1, lr, torch.zeros(2, 2), torch.zeros(t_u_shape), torch.zeros(4))


PEAK = """
import resource, sys, torch
from src.loop import LossCurves, training_loop
from src.losses import mse
from src.models import linear
t_u = torch.linspace(0, 1, 2000)
epochs = int(sys.argv[1])
training_loop(epochs, 1e-2, torch.tensor([1.0, 0.0]), t_u, t_u, curves=LossCurves([[epochs]]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_a_hundred_times_the_epochs_take_no_more_memory() -> None:
    """Peak memory of whole processes, in KiB: had each epoch's graph (about 32 KiB of tensors here) stayed
    alive, 100,000 epochs would take 3 GB more than 1,000."""
    peaks = [
        int(subprocess.run([sys.executable, "-c", PEAK, n], capture_output=True, check=True).stdout)
        for n in ("1000", "100000")
    ]
    assert peaks[1] - peaks[0] < 20_000


def test_a_number_as_rate_keeps_its_digits(t_u: Tensor, t_c: Tensor) -> None:
    """In float64 0.01 is not float32's, which is 2e-10 less."""
    start = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    mse(linear(0.1 * t_u.double(), *start), t_c.double()).backward()
    assert start.grad is not None
    found = training_loop(1, 0.01, start, 0.1 * t_u.double(), t_c.double())
    assert torch.equal(found, start.detach() - 0.01 * start.grad)
