"""Models and losses: their gradients, and the shapes they refuse."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from src.functions import parameter_names
from src.losses import LOSSES, mse
from src.models import MODELS
from src.polynomial import is_polynomial


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", MODELS)
def test_autograds_gradient_agrees_with_finite_differences(name: str, loss: str) -> None:
    """The batched loss of every model and loss, checked by torch.autograd.gradcheck in float64."""
    model, generator = MODELS[name], torch.Generator().manual_seed(0)
    t_u = 1 + torch.rand(3, 7, dtype=torch.float64, generator=generator)
    t_c = torch.randn(3, 7, dtype=torch.float64, generator=generator)
    params = 0.5 + torch.rand(3, len(parameter_names(model)), dtype=torch.float64, generator=generator)
    options = {"delta": 1.0} if loss == "huber" else {}

    def losses(params: torch.Tensor) -> torch.Tensor:
        return LOSSES[loss](model(t_u, *params.unsqueeze(-1).unbind(-2)), t_c, **options)

    params.requires_grad_()

    assert torch.autograd.gradcheck(losses, (params,))


@pytest.mark.parametrize("name", MODELS)
def test_one_run_and_many_predict_the_same(name: str) -> None:
    model, t_u = MODELS[name], torch.linspace(1, 3, 5)
    params = 1 + torch.arange(2.0 * len(parameter_names(model))).reshape(2, -1)
    together = model(t_u, *params.unsqueeze(-1).unbind(-2))
    for run, alone in enumerate(params):
        assert torch.equal(together[run], model(t_u, *alone))


def test_a_column_against_a_row_is_refused_not_broadcast() -> None:
    with pytest.raises(ValueError, match=r"\(4,\).*\(4, 1\)"):
        mse(torch.zeros(4), torch.zeros(4, 1))


def test_which_are_polynomials() -> None:
    """Of another function raw parameters by the fold would be plausible and wrong."""
    found = [name for name, each in MODELS.items() if is_polynomial(each, len(parameter_names(each)))]
    assert found == ["linear", "quadratic"]
    assert not is_polynomial(lambda t_u, b, w: w * t_u + b, 2), "the highest power comes first"


def test_no_shift_through_the_origin(
    empty_folder: Path, command: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    """Shifted it would go through another point, and be called proportional all the same."""
    del empty_folder
    assert command("model=proportional", "normalization=zscore", "epochs=5") == 2
    assert (
        "model=proportional is through the origin, which normalization=zscore shifts"
        in capfd.readouterr().err
    )
    assert command("model=proportional", "lr=auto", "epochs=50") == 0
    assert "parameters   w = 0.232 ± 0.031 (standard uncertainties)" in capfd.readouterr().out


THERMISTOR = (
    "data.path=mine.csv",
    "data.input=ohm",
    "model=steinhart_hart",
    "normalization=none",
    "lr=1e-20",
)


@pytest.mark.parametrize(
    ("target", "unit"), [("kelvin", ""), ("T [K]", ""), ("T", "K"), ("T_F", ""), ("T", "°F")]
)
@pytest.mark.usefixtures("folder")
def test_a_model_in_celsius_takes_no_kelvin(
    target: str, unit: str, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be fitted nearly as well, by other constants than a thermistor's."""
    Path("mine.csv").write_text(
        f"ohm,{target}\n" + f",{unit}\n" * bool(unit) + "33000,273\n10000,298\n3600,323\n"
    )
    assert command(*THERMISTOR, f"data.target={target}") == 2
    scale = unit or target.strip("[]T _")
    assert f"gives °C, and {target} is in {scale}: give a column in °C" in capsys.readouterr().err
    assert command(*THERMISTOR, f"data.target={target}", "data.target_unit=°C", "epochs=1") == 0
