"""What a sweep says of itself in plain words, and whether its advice is any good."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.record import is_parent, recorded


@pytest.fixture
def note(command: Callable[..., int], client: MlflowClient) -> Callable[..., str]:
    """The description of the sweep `ARGS`."""

    def sweep(*args: str) -> str:
        assert command("-m", *args) == 0
        parents = [run for run in recorded(client) if is_parent(run)]
        latest = max(parents, key=lambda run: run.info.start_time)
        return latest.data.tags["mlflow.note.content"]

    return sweep


def test_the_best_the_distance_the_diverged_and_why(note: Callable[..., str]) -> None:
    """The README's sweep; its figures are facts of the seed, tested elsewhere."""
    told = note("lr=1e-2,1e-3", "normalization=none,scale,zscore", "epochs=500,5000")
    assert "12 runs: 4 converged, 4 stopped short of convergence, 4 diverged." in told
    assert "Best is `lr=0.01 zscore 500`: `t_c = 0.53675" in told
    assert "with loss 2.92765, within 0.00093 standard uncertainties of the exact optimum.\n" in told
    assert "w = 0.537 ± 0.036, b = -17.3 ± 1.9 (standard uncertainties)." in told
    assert "- #9, 10: lr 0.001 is 2.9 times the limit 0.000339 of this input: use a smaller lr" in told
    assert "To try next" not in told, "the best run has converged"


def test_a_parabola_is_told_with_its_highest_power_first(note: Callable[..., str]) -> None:
    """Expected: numpy.polyfit(t_u, t_c, 2) on the chapter's data gives 0.00283, 0.2476, -10.65."""
    told = note("lr=0.1,0.2", "model=quadratic", "normalization=zscore", "epochs=2000")
    assert "`t_c = 0.002830" in told
    assert "* t_u**2 + 0.2476" in told


@pytest.mark.usefixtures("folder")
def test_advice_can_be_pasted_whatever_the_columns_are_called(
    note: Callable[..., str], command: Callable[..., int]
) -> None:
    Path("my file.csv").write_text("Volt (V),it's °C\n1,2\n2,3.9\n3,6.1\n")
    columns = ["data.path='my file.csv'", "data.input='Volt (V)'", "data.target='it\\'s °C'"]
    told = note(*columns, "lr=1e-5", "epochs=5")
    line = next(line[3:-1] for line in told.splitlines() if line.startswith("- `") and "zscore" in line)
    assert command(*shlex.split(line)) == 0
    assert "'data.path=my file.csv' 'data.input=Volt (V)' " in line, "no more quotes than the shell's"


def test_a_run_on_its_own_says_what_to_try(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """One that stopped short, or diverged, ends with a command for one that converges, in its experiment."""
    for lr, outcome in (("1e-4", "stopped"), ("1", "diverged")):
        assert command("normalization=none", f"lr={lr}", "epochs=30", "tracking.experiment=my gauges") == 0
        told = capsys.readouterr().out
        assert f"outcome      {outcome}" in told
        [advised] = re.findall(r"^try next     python -m src.train (.*)$", told, re.MULTILINE)
        assert shlex.split(advised)[-1] == "tracking.experiment=my gauges"
        assert command(*shlex.split(advised)) == 0
        told = capsys.readouterr().out
        assert "outcome      converged" in told
        assert "try next" not in told


def test_many_reasons_of_one_input_are_told_as_one(note: Callable[..., str]) -> None:
    """Twelve rates beyond the raw input's limit, two beyond scale's: 0.000339938, 0.0329782 in the seed."""
    told = note("lr=range(0.0055,0.04,0.003)", "normalization=none,scale", "epochs=400")
    lines = [line for line in told.splitlines() if line.startswith("- #")]
    assert len(lines) == 2
    assert "lr 0.0055 to 0.0385 is 16 to 113 times the limit 0.000339 of none: " in lines[0]
    assert "lr 0.0355 to 0.0385 is 1.076 to 1.2 times the limit 0.0329 of scale: " in lines[1]


def test_a_range_of_one_number(note: Callable[..., str]) -> None:
    told = note(
        "lr=0.0055,0.007,0.01,0.02,0.03,0.0355,0.03550000001", "normalization=none,scale", "epochs=400"
    )
    assert "lr 0.0355 is 1.076 times the limit 0.0329 of this input" in told


def test_a_dozen_reasons_at_most(note: Callable[..., str]) -> None:
    """Two models, two losses and four normalizations are sixteen inputs, with a limit of each."""
    told = note(
        *("lr=1e3,2e3", "epochs=20", "loss=mse,huber", "model=linear,quadratic"),
        "normalization=none,scale,zscore,minmax",
    )
    lines = [line for line in told.splitlines() if line.startswith(("- #", "- …"))]
    assert len(lines) == 13
    assert re.search(
        r"times the limit \S+ of (none|scale|zscore|minmax) · (linear|quadratic) · (mse|huber)", lines[1]
    )
    assert lines[12].startswith("- … and 4 more reasons, of 8 runs: in the column reason of")


def test_many_reasons_some_without_a_limit(note: Callable[..., str]) -> None:
    """Absolute errors have no curvature, and so no limit that a rate could be beyond."""
    told = note(
        "lr=range(1e5,1e6,1e5)", "loss=mse,mae", "model.start.b=-17", "normalization=none", "epochs=19"
    )
    assert "8 more: the loss grew tenfold: use a smaller lr" in told
    assert re.search(r"#\d+ and 8 more: lr 100000 to 900000 is 2\.9e\+08 to .* times the limit", told)


@pytest.mark.slow
@pytest.mark.parametrize(
    "first",
    [
        ["lr=1e-3", "epochs=500"],  # stopped short
        ["lr=1e-3", "normalization=none", "epochs=50"],  # diverged
        ["lr=1e-3", "epochs=50", "model=quadratic", "normalization=minmax"],
        ["lr=1e-9", "epochs=50", "data=norris", "normalization=none", "dtype=float64"],
    ],
)
def test_every_advice_converges_when_it_is_followed(
    first: list[str], note: Callable[..., str], command: Callable[..., int], client: MlflowClient
) -> None:
    told = note(*first)
    tries = [line[3:-1] for line in told.splitlines() if line.startswith("- `")]
    assert any("zscore" in line for line in tries)
    for line in tries:
        if int(line.split("epochs=")[1].split()[0]) > 50_000:
            continue  # true as well, but long
        assert command(*shlex.split(line)) == 0
        latest = max(recorded(client), key=lambda run: run.info.start_time)
        assert latest.data.tags["outcome"] == "converged", line
