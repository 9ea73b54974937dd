"""Reference values with an uncertainty: the training, the best fit and the record weigh by it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.record import recorded

Command = Callable[..., int]
SIGMA = 0.5 + 0.1 * np.arange(11)
FLAGS = ("data.path=mine.csv", "normalization=zscore", "lr=0.1", "epochs=2000", "dtype=float64")


@pytest.fixture
def mine(empty_folder: Path) -> np.ndarray:
    """The chapter's pairs (11, 2) as a file with a column `s` of uncertainties and one of ten times these."""
    rows = np.loadtxt(empty_folder / "data" / "thermometer.csv", delimiter=",", skiprows=1)
    lines = [f"{u},{c},{s},{10 * s}" for (u, c), s in zip(rows, SIGMA, strict=True)]
    (empty_folder / "mine.csv").write_text("\n".join(["t_u,t_c,s,ten", *lines]) + "\n")
    return rows


def only(client: MlflowClient) -> Run:
    [run] = recorded(client)
    return run


def test_weighed_line(mine: np.ndarray, command: Command, client: MlflowClient) -> None:
    """The parameters and standard errors of numpy.polyfit with weights 1/sigma, absolute by default."""
    assert command(*FLAGS, "data.sigma=s") == 0
    metrics = only(client).data.metrics
    want, covariance = np.polyfit(*mine.T, 1, w=1 / SIGMA, cov="unscaled")
    assert [metrics["w"], metrics["b"]] == pytest.approx(want, rel=1e-9)
    assert [metrics["se_w"], metrics["se_b"]] == pytest.approx(np.sqrt(np.diag(covariance)), rel=1e-9)
    left = ((np.polyval(want, mine[:, 0]) - mine[:, 1]) / SIGMA) ** 2
    assert metrics["chi_squared"] == pytest.approx(left.sum(), rel=1e-9)


def test_ratios_alone(mine: np.ndarray, command: Command, client: MlflowClient) -> None:
    """Relative, ten times as large uncertainties tell the same: polyfit's scaled covariance."""
    for sigma in ("s", "ten"):
        assert command(*FLAGS, f"data.sigma={sigma}", "data.sigma_scale=relative") == 0
    first, second = (run.data.metrics for run in recorded(client))
    _, covariance = np.polyfit(*mine.T, 1, w=1 / SIGMA, cov=True)
    for metrics in (first, second):
        assert [metrics["se_w"], metrics["se_b"]] == pytest.approx(np.sqrt(np.diag(covariance)), rel=1e-9)
        assert "chi_squared" not in metrics
    assert first["final_loss"] == pytest.approx(second["final_loss"], rel=1e-12), "in the target's unit"


def test_one_for_all(mine: np.ndarray, command: Command, client: MlflowClient) -> None:
    """A number for all changes no bit of the training, and is what the standard errors go by."""
    del mine
    assert command(*FLAGS) == 0
    assert command(*FLAGS, "data.sigma=0.25") == 0
    known, plain = (run.data.metrics for run in recorded(client))
    if "chi_squared" in plain:
        known, plain = plain, known
    for key in ("w", "b", "loss", "loss_gap"):
        assert known[key] == plain[key]
    assert known["se_w"] == pytest.approx(plain["se_w"] * 0.25 / plain["residual_sd"], rel=1e-9)


@pytest.mark.parametrize("cell", ["0", "-0.5"])
def test_no_uncertainty(
    cell: str, mine: np.ndarray, command: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    """A weight without an end is refused by its line."""
    del mine
    text = Path("mine.csv").read_text().replace(",0.7,", f",{cell},")
    Path("mine.csv").write_text(text)
    assert command(*FLAGS, "data.sigma=s") == 2
    assert f"line 4, column s: {cell} is not greater than 0" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    {
        "data.sigma=0": "data.sigma=0 is not allowed: give a number greater than 0",
        "data.sigma=t_c": "data.sigma=t_c is a column of readings",
        "data.sigma=nowhere": "data.sigma=nowhere: no such column",
        "data.sigma_scale=relative": "is about data.sigma: give that, too",
        "data.common=-1": "data.common=-1 is not allowed",
    }.items(),
)
def test_mistakes(
    given: str, said: str, mine: np.ndarray, command: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    del mine
    assert command(*FLAGS, given) == 2
    assert said in capfd.readouterr().err


def test_other_data(mine: np.ndarray, command: Command, client: MlflowClient) -> None:
    """Other uncertainties are other data: their losses do not compare."""
    del mine
    assert command("-m", *FLAGS, "data.sigma=s,ten,0.5") == 0
    digests = {run.data.tags.get("data_digest") for run in recorded(client)}
    assert len(digests - {None}) == 3


def test_as_alone(mine: np.ndarray, command: Command, client: MlflowClient) -> None:
    """A weighted run has, to the bit, the curve in a sweep over other weights that it has alone."""
    del mine
    flags = ("data.path=mine.csv", "normalization=zscore", "epochs=40", "lr=0.1")
    assert command(*flags, "data.sigma=s") == 0
    assert command("-m", *flags[:3], "lr=0.1,0.2", "data.sigma=s,ten,0.5") == 0
    alike = recorded(client, "params.data_sigma = 's' and params.lr = '0.1' and tags.outcome LIKE '%'")
    first, second = (
        [point.value for point in client.get_metric_history(run.info.run_id, "loss")] for run in alike
    )
    assert first == second


def test_absolute_is_the_default(mine: np.ndarray, command: Command, client: MlflowClient) -> None:
    """Written out, it is the same data."""
    del mine
    assert command("-m", *FLAGS, "data.sigma=s", "data.sigma_scale=null,absolute") == 0
    assert len({run.data.tags.get("data_digest") for run in recorded(client)} - {None}) == 1
