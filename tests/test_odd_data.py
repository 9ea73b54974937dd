"""Data at the edge of what a model or a loss takes: each is told as what it is, and no page is lost."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.record import is_parent, recorded

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
DATA = ["data.path=odd.csv", "data.input=t_u", "data.target=t_c"]


def save(folder: Path, t_u: object, t_c: object) -> None:
    pd.DataFrame({"t_u": t_u, "t_c": t_c}).to_csv(folder / "odd.csv", index=False)


@pytest.mark.pictures
def test_a_power_near_zero(folder: Path, command: Command, client: MlflowClient, capfd: Capture) -> None:
    """The fit is drawn over a little more than the data, and left of 0 a power has no value."""
    t_u = np.linspace(0.5, 50, 12)
    save(folder, t_u, 2 * t_u**0.5)
    assert command(*DATA, "model=power", "normalization=scale", "epochs=5") == 0
    assert not capfd.readouterr().err
    [run] = recorded(client)
    assert "fits.png" in [file.path for file in client.list_artifacts(run.info.run_id)]


def test_no_fastest_rate(folder: Path, command: Command, capfd: Capture) -> None:
    """Huber's loss is straight where all residuals are beyond its delta, here by 19 orders."""
    t_u = [1.4e11, 2.1e11, 3.7e11, 7.1e11, 7.8e11, 8.3e11, 6.1e10, 6.3e10, 1.9e11, 7.7e11, 7.5e11]
    save(folder, t_u, -1e-3 * np.square(t_u))
    how = [
        "loss=huber",
        "normalization=none",
        "scaling=start",
        "dtype=float64",
        "epochs=3",
        "data.validation=0.5",
    ]
    assert command(*DATA, *how, "lr=auto") == 2
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    assert "lr=auto: loss=huber has no curvature here: give a number" in told


@pytest.mark.slow
def test_no_limit_beside_no_best_fit(
    folder: Path, command: Command, client: MlflowClient, capfd: Capture
) -> None:
    """Of an exponential over scatter alone the search finds no best fit, and 0.001 is no 300,000 limits.

    That curvature was of wherever the search had ended: at this rate the loss falls from 16 to 1.5.
    """
    save(folder, 1e6 + np.array([0.13, 0.98, 0.53, 0.88, 0.94, 0.09, 0.11, 0.14]), [
        5.162, 4.880, 5.004, 4.934, 4.996, 5.064, 4.888, 4.999
    ])  # fmt: skip
    how = ["model=exponential", "normalization=zscore", "dtype=float64", "epochs=300"]
    assert command(*DATA, *how, "-m", "lr=1e-3,100") == 0
    assert "times the limit" not in capfd.readouterr().out
    runs = [run for run in recorded(client) if not is_parent(run)]
    assert {run.data.tags["outcome"] for run in runs} == {"diverged", "stopped"}
    assert not any("lr_over_limit" in run.data.metrics for run in runs)
