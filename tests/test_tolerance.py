"""Within, outside or undecided: by the rule, on simulated instruments, and on record."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from src import compare, predict
from src.diagnostics.tolerance import Conformity

Command = Callable[..., int]
T_8 = 2.3060041350333704  # the 97.5 % quantile of Student's t with 8 degrees of freedom. Source: tables


def conformity(tolerance: float, errors: list[float], expanded: float) -> Conformity:
    """With the same U everywhere."""
    found = np.array(errors)
    return Conformity(tolerance, np.full(3, expanded), found, np.full(len(found), expanded))


def test_rule() -> None:
    """|e| + U <= T is within, |e| - U > T outside, by hand for T = 1 and U = 0.25."""
    found = conformity(1.0, [0, 0.75, -0.75, 0.8, -1.25, 1.3, -1.3], 0.25)
    assert found.verdicts == ["within"] * 3 + ["undecided"] * 2 + ["outside"] * 2


@pytest.mark.parametrize(
    ("errors", "expanded", "verdict"),
    [
        ([0.0, 0.5], 0.5, "within"),
        ([0.0, 0.6], 0.5, "undecided"),  # by a reading
        ([0.0, 0.0], 1.1, "undecided"),  # by the range
        ([0.6, 1.6], 0.5, "outside"),  # by the worst reading
    ],
)
def test_verdict_on_all(errors: list[float], expanded: float, verdict: str) -> None:
    """A calibration is within where everything is, and outside where any reading is."""
    assert conformity(1.0, errors, expanded).verdict == verdict


def simulated(rng: np.random.Generator, count: int) -> tuple[list[Conformity], np.ndarray]:
    """Lines through ten readings each of instruments that bend, or are off at one reading, in any degree.

    And by how much their corrected values are out at the worst reading, beyond tolerance and U (count,).
    """
    x, scatter = np.linspace(0, 1, 10), 0.1
    truths = 2 * x + rng.uniform(0, 3, (count, 1)) * x**2
    truths[range(count), rng.integers(10, size=count)] += rng.uniform(-4, 4, count) * (
        rng.random(count) < 0.7
    )
    y = truths + scatter * rng.standard_normal((count, 10))
    columns = np.vander(x, 2)
    lines = y @ (columns @ np.linalg.pinv(columns)).T
    s = np.sqrt(((y - lines) ** 2).sum(axis=1, keepdims=True) / 8)
    leverages = 0.1 + (x - 0.5) ** 2 / ((x - 0.5) ** 2).sum()
    expanded = T_8 * s * np.sqrt(leverages + 1)
    tolerances = rng.uniform(0.2, 1.5, count)
    found = [
        Conformity(tolerance, at_each, errors, at_each)
        for tolerance, at_each, errors in zip(tolerances, expanded, lines - y, strict=True)
    ]
    return found, (abs(lines - truths) - expanded).max(axis=1) - tolerances


@pytest.mark.slow
def test_simulated_instruments() -> None:
    """Of a thousand that are out by more than tolerance and U none is within; all three verdicts occur."""
    found, excess = simulated(np.random.default_rng(21), 250_000)
    out = np.flatnonzero(excess > 0)
    assert len(out) >= 1000
    assert "within" not in {found[each].verdict for each in out}
    assert {each.verdict for each in found[:1000]} == {"within", "undecided", "outside"}


def newest(client: MlflowClient) -> Run:
    """Of the experiment's runs."""
    found: Run = client.search_runs(["1"], max_results=1)[0]
    return found


def test_on_record(command: Command, client: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    """Its U is half of the interval that `predict` gives at an end of the range, the larger: 5.08."""
    assert command("tolerance=10") == 0
    printed = capsys.readouterr().out
    run = newest(client)
    assert run.data.params["tolerance"] == "10.0"
    assert run.data.tags["conformity"] == "within"
    assert "tolerance    ±10 °C: within; U is at most 5.08 °C" in printed
    assert predict.command([run.info.run_id, "81.9", "21.8"]) == 0
    answers = pd.read_csv(StringIO(capsys.readouterr().out))
    assert round(((answers.upper - answers.lower) / 2).max(), 2) == 5.08


def test_column(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """A column where a tolerance was given, blank where a run diverged; none else; the same run by then."""
    assert command("-m", "lr=1e-2", "normalization=none,zscore", "epochs=500", "tolerance=10") == 0
    table = capsys.readouterr().out
    assert table.splitlines()[1].split()[-2:] == ["conformity", "outcome"]
    assert compare.command(["--format", "csv"]) == 0
    frame = pd.read_csv(StringIO(capsys.readouterr().out))
    assert frame["conformity"].fillna("").tolist() == ["within", ""]
    assert command("-m", "lr=1e-2", "normalization=zscore", "epochs=500") == 0
    assert "conformity" not in capsys.readouterr().out


@pytest.mark.parametrize("settings", [("loss=mae",), ("epochs=5",)])
def test_nothing_known(settings: tuple[str, ...], command: Command, client: MlflowClient) -> None:
    """Without an uncertainty of a new reading nothing is within, however wide the tolerance."""
    assert command("tolerance=1000", *settings) == 0
    tags = newest(client).data.tags
    assert tags["conformity"] == "undecided"
    assert "no uncertainty of a new reading" in tags["conformity_reason"]


def test_readings_own_sigma(command: Command, client: MlflowClient, folder: Path) -> None:
    """A reading is judged with its own sigma: of two that are 0.5 off, only the certain one is outside 0.2.

    By hand: U is about 2 * 0.02 and 2 * 1 there, and the weighted line is held by the other readings.
    """
    x = np.arange(10.0)
    y, sigma = 2 * x, np.full(10, 0.02)
    y[2] += 0.5
    y[5] += 0.5
    sigma[5] = 1
    pd.DataFrame({"x": x, "y": y, "s": sigma}).to_csv(folder / "own.csv", index=False)
    data = ("data.path=own.csv", "data.input=x", "data.target=y", "data.sigma=s")
    assert command(*data, "normalization=zscore", "lr=auto", "tolerance=0.2") == 0
    assert ", 1 outside (" in newest(client).data.tags["conformity_reason"]


@pytest.mark.parametrize("given", ["0", "-1", "nan", "wide"])
def test_mistakes(given: str, command: Command, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no tolerance is refused before anything is on record."""
    assert command(f"tolerance={given}") == 2
    assert "give a finite number greater than 0" in capsys.readouterr().err
    assert not MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments(
        filter_string="name != 'Default'"
    )
