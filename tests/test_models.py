"""Models and losses: their gradients, and the shapes they refuse."""

import pytest
import torch

from src.functions import parameter_names
from src.losses import mean_squared_error
from src.models import MODELS


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
