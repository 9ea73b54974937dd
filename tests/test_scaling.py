"""Parameters of very different sizes: their scaling, and the rate that it allows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient

from src.choices import ModelSettings
from src.data import load
from src.fit.plan import Preparation
from src.fit.stability import parameter_scales
from src.fit.training import calibrate
from src.functions import parameter_names
from src.loop import training_loop
from src.models import linear
from src.settings import Settings
from tests.record import is_parent, recorded
from tests.test_best_fit import MODELS, NIST

HERE = Path(__file__).parent
Command = Callable[..., int]

# NIST's sets with the epochs that are enough from its second start; the last takes half a minute
ENOUGH = [("rat42", 200), ("danwood", 2000), ("misra1b", 20_000), ("kirby2", 150_000)]


@pytest.mark.parametrize(("name", "epochs"), [*ENOUGH[:3], pytest.param(*ENOUGH[3], marks=pytest.mark.slow)])
def test_the_loop_reaches_certified_parameters(
    name: str, epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Source: NIST, Statistical Reference Datasets; from its second start, converged."""
    monkeypatch.setitem(ModelSettings.SHIPPED, name, MODELS[name])  # type: ignore[index]
    names = parameter_names(MODELS[name])
    settings: dict[str, Any] = {
        "lr": "auto",
        "scaling": "jacobian",
        "epochs": epochs,
        "normalization": {"name": "none"},
        "model": {"name": name, "start": dict(zip(names, NIST[name]["start2"], strict=True))},
        "data": {"path": str(HERE / "nist" / f"{name}.csv"), "input": "x", "target": "y"},
        "dtype": "float64",
        "device": "cpu",
        "tracking": {"experiment": "nist"},
    }
    run = Preparation(load).prepare(Settings.model_validate(settings))
    assert run.lr_over_limit <= 1
    [result] = calibrate([run])
    assert result.outcome == "converged"
    assert list(result.raw.values()) == pytest.approx(NIST[name]["params"], rel=2e-3)
    best = run.input.yardstick.named(in_raw_units=True)
    assert list(best.values()) == pytest.approx(NIST[name]["params"], rel=1e-10)


def test_a_scaled_step_is_a_step_in_scaled_parameters(t_u: torch.Tensor, t_c: torch.Tensor) -> None:
    """w = 0.1 * v, b = 3 * c: descent on v and c, written out with the model in these."""
    scales = torch.tensor([0.1, 3.0])
    start = torch.tensor([1.0, 6.0])
    rates = 1e-2 * scales**2
    found = training_loop(1, rates[None], start[None], 0.1 * t_u, t_c)[0]

    def scaled(t_u: torch.Tensor, v: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return linear(t_u, 0.1 * v, 3 * c)

    expected = training_loop(1, 1e-2, start / scales, 0.1 * t_u, t_c, model=scaled) * scales
    torch.testing.assert_close(found, expected)


def test_the_units_of_the_parameters() -> None:
    """By hand: of `w * t_u + b` over 3 and 4 the columns are (3, 4) and (1, 1)."""
    t_un, start = torch.tensor([3.0, 4.0]).double(), torch.tensor([-2.0, 0.0]).double()
    assert parameter_scales("none", linear, t_un, start).tolist() == [1, 1]
    assert parameter_scales("start", linear, t_un, start).tolist() == [2, 1]
    assert parameter_scales("jacobian", linear, t_un, start).tolist() == pytest.approx([1 / 12.5**0.5, 1])


def test_auto_and_scaling_on_record(command: Command, client: MlflowClient) -> None:
    """The rate is a number there; numbers under any scaling are the function's own."""
    assert command("-m", "lr=auto", "scaling=none,start,jacobian", "epochs=4000", "dtype=float64") == 0
    runs = [run.data for run in recorded(client) if not is_parent(run)]
    assert {run.params["scaling"] for run in runs} == {"none", "start", "jacobian"}
    for run in runs:
        assert float(run.params["lr"]) > 0
        assert run.metrics["lr_over_limit"] < 1
        assert run.tags["outcome"] == "converged"
        assert run.metrics["w"] == pytest.approx(0.536772, rel=1e-3)
        assert f"lr={float(run.params['lr']):g}"[:6] in run.tags["overrides"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("lr=auto loss=mae", "lr=auto: loss=mae has no curvature here: give a number"),
        ("model=power model.start.a=0 normalization=none scaling=jacobian", "has no effect at the start"),
        ("scaling=size", "scaling=size is not allowed: give none, start or jacobian"),
        ("lr=fast", "lr=fast is not allowed: give a finite number greater than 0, like 1e-2, or auto"),
    ],
)
def test_what_cannot_be_scaled(
    arguments: str, words: str, command: Command, empty_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command(*arguments.split()) == 2
    assert words in capfd.readouterr().err
    assert not (empty_folder / "mlflow.db").exists()
