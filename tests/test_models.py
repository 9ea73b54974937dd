"""Models and losses: their gradients, and the shapes they refuse."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from src.functions import parameter_names
from src.losses import mean_squared_error
from src.models import MODELS
from src.polynomial import is_polynomial


@pytest.mark.parametrize("name", MODELS)
def test_autograds_gradient_agrees_with_finite_differences(name: str) -> None:
    """The batched loss of every model, checked by torch.autograd.gradcheck in float64."""
    model, generator = MODELS[name], torch.Generator().manual_seed(0)
    t_u = torch.randn(3, 7, dtype=torch.float64, generator=generator)
    t_c = torch.randn(3, 7, dtype=torch.float64, generator=generator)
    params = torch.randn(
        3, len(parameter_names(model)), dtype=torch.float64, generator=generator, requires_grad=True
    )

    def losses(params: torch.Tensor) -> torch.Tensor:
        return mean_squared_error(model(t_u, *params.unsqueeze(-1).unbind(-2)), t_c)

    assert torch.autograd.gradcheck(losses, (params,))


@pytest.mark.parametrize("name", MODELS)
def test_one_run_and_many_predict_the_same(name: str) -> None:
    model, t_u = MODELS[name], torch.linspace(-2, 2, 5)
    params = torch.arange(2.0 * len(parameter_names(model))).reshape(2, -1)
    together = model(t_u, *params.unsqueeze(-1).unbind(-2))
    for run, alone in enumerate(params):
        assert torch.equal(together[run], model(t_u, *alone))


def test_a_column_against_a_row_is_refused_not_broadcast() -> None:
    with pytest.raises(ValueError, match=r"\(4,\).*\(4, 1\)"):
        mean_squared_error(torch.zeros(4), torch.zeros(4, 1))


def test_only_a_polynomial_is_trusted_as_one(
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., int],
    empty_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of another function the optimum, the raw parameters and predictions would be plausible and wrong."""
    assert all(is_polynomial(model, len(parameter_names(model))) for model in MODELS.values())
    monkeypatch.setitem(MODELS, "linear", lambda t_u, w, b: w * torch.tanh(t_u / 50) + b)
    assert command() == 2
    assert "model=linear is no polynomial" in capsys.readouterr().err
    assert not (empty_folder / "mlflow.db").exists()
