"""Has an instrument changed since last year? By simulation, by hand, and under a registered name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from src.diagnostics.change import Change, bound, change
from src.tracking.reader import get
from src.tracking.registry import earlier
from src.tracking.store import existing
from tests.conftest import copy_of, train_in
from tests.record import is_parent, recorded

Command = Callable[..., int]
TRAIN = ("normalization=zscore", "lr=0.1", "register=mine")


def fitted(rng: np.random.Generator, n: int, k: int, moved: float) -> tuple[np.ndarray, np.ndarray, int]:
    """A polynomial's best fit (K,), its covariance (K, K) and N - K, of an instrument that has `moved`."""
    x = np.linspace(0, 1, n)
    y = 1 + 2 * x + 0.1 * rng.standard_normal(n) + moved
    columns = np.vander(x, k)
    params, squares, *_ = np.linalg.lstsq(columns, y, rcond=None)
    return params, squares[0] / (n - k) * np.linalg.inv(columns.T @ columns), n - k


def of_two(rng: np.random.Generator, sizes: tuple[int, int], k: int, moved: float) -> Change:
    """Two calibrations of one instrument, between which it has `moved`."""
    readings = np.linspace(0, 1, 101)
    then, now = fitted(rng, sizes[0], k, 0.0), fitted(rng, sizes[1], k, moved)
    g = np.vander(readings, k)
    u = np.sqrt(((g @ (then[1] + now[1])) * g).sum(axis=1))
    return change(readings, g @ (now[0] - then[0]), u, k, min(then[2], now[2]))


@pytest.mark.parametrize("sizes", [(6, 6), (8, 20), (50, 50)])
@pytest.mark.parametrize("k", [2, 3])
def test_rate_of_false_alarms(sizes: tuple[int, int], k: int) -> None:
    """Of 2000 that did not change at least 94 % are unchanged: 95 % are meant, the standard error is 0.5."""
    rng = np.random.default_rng([*sizes, k])
    alarms = sum(of_two(rng, sizes, k, 0.0).is_significant for _ in range(2000))
    assert alarms <= 0.06 * 2000


def test_changes_are_found() -> None:
    """Of those that moved by 6 standard uncertainties of the difference, nearly all; by 0.05, nearly none."""
    rng = np.random.default_rng(7)
    found = [of_two(rng, (20, 20), 2, 0.4).is_significant for _ in range(300)]
    assert np.mean(found) > 0.99
    assert abs(of_two(rng, (20, 20), 2, 100.0).largest.change - 100) < 1


def test_bound() -> None:
    """The square root of K F: F(2, 9) is 4.2565, F(3, 20) 3.0984, chi2(2) 5.9915. Source: tables."""
    assert bound(2, 9) == pytest.approx((2 * 4.2565) ** 0.5, rel=1e-4)
    assert bound(3, 20) == pytest.approx((3 * 3.0984) ** 0.5, rel=1e-4)
    assert bound(2, None) == pytest.approx(5.9915**0.5, rel=1e-4)


def test_largest_and_clearest() -> None:
    """The largest in units need not be the clearest; where both curves are certain there is none."""
    found = change(np.arange(3.0), np.array([0.0, 1.0, -2.0]), np.array([0.0, 0.1, 1.0]), 2, 9)
    assert found.largest == (2.0, -2.0, -2.0)
    assert found.clearest == (1.0, 1.0, 10.0)


def write(folder: Path, name: str, moved: float, *, noise: int = 1, low: float = 0.0) -> None:
    """Ten pairs of an instrument that has `moved`, in volt and celsius, with scatter of 0.1."""
    x = low + np.linspace(0, 10, 10)
    y = 2 * x + 1 + moved + 0.1 * np.random.default_rng(noise).standard_normal(10)
    rows = "".join(f"{a!r},{b!r}\n" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    (folder / name).write_text("volt,celsius\n" + rows)


def columns(name: str, unit: str = "°C") -> tuple[str, ...]:
    return (f"data.path={name}", "data.input=volt", "data.target=celsius", f"data.target_unit={unit}")


@pytest.fixture(scope="module")
def then(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Path:
    """A folder where the calibration of then.csv is registered."""
    place = tmp_path_factory.mktemp("then")
    write(place, "then.csv", 0.0)
    said = train_in(place, migrated_store, (*TRAIN, "epochs=500", *columns("then.csv")))
    assert "\nchange " not in said  # there is nothing to compare the first one with
    return place


@pytest.fixture
def registered(
    then: Path, command: Command, folder: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What is said of a change where a file's calibration is registered after that of then.csv."""

    def run(*settings: str, **now: float) -> str:
        copy_of(then, folder)
        write(folder, "now.csv", now.pop("moved", 0.0), noise=2, **now)
        assert command(*TRAIN, *(settings or (*columns("now.csv"), "epochs=500"))) == 0
        [said] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("change ")]
        return said.removeprefix("change").strip()

    return run


def test_unchanged(registered: Callable[..., str], client: MlflowClient) -> None:
    """On the screen, on record and in the report."""
    said = registered()
    assert said.startswith(
        "since models:/mine/1: unchanged within its uncertainty; the largest difference is "
    )
    assert "stay within 3 u, by Scheffé with 8 degrees of freedom" in said  # sqrt(2 * 4.459)
    run = client.get_run(client.get_model_version("mine", "2").run_id)
    assert run.data.tags["change"] == said
    report = Path(client.download_artifacts(run.info.run_id, "report.html")).read_text("utf-8")
    assert "unchanged within its uncertainty" in report


def test_changed(registered: Callable[..., str]) -> None:
    """By 0.8 °C, as it was made, give or take the scatter of both."""
    said = registered(moved=0.8)
    assert "since models:/mine/1: changed; the largest difference is +0." in said
    amount = float(said.split("difference is ")[1].split(" °C")[0])
    assert 0.7 <= amount <= 1.0


def test_common_range(registered: Callable[..., str]) -> None:
    """Two ranges that do not meet are not compared, and that is said with the earlier one's."""
    assert registered(low=20.0) == (
        "not compared with models:/mine/1: there is no common range, for that is calibrated from 0 to 10"
    )


def test_other_units(registered: Callable[..., str]) -> None:
    """Nor are other units, or other columns."""
    said = registered(*columns("now.csv", "K"), "epochs=500")
    assert (
        said
        == "not compared with models:/mine/1: that is of volt to celsius [°C], this of volt to celsius [K]"
    )


def test_same_observations(registered: Callable[..., str]) -> None:
    """Nor a calibration with another of the very same observations, of which no change can be seen."""
    said = registered(*columns("then.csv"), "epochs=600")
    assert said == "not compared with models:/mine/1: both are of the same observations"


def test_without_uncertainty(registered: Callable[..., str]) -> None:
    """Where one has none on record the change is told, and that nobody knows whether it is much."""
    said = registered(*columns("now.csv"), "epochs=5")
    assert "whether that is much is unknown" in said


def test_sweep(registered: Callable[..., str], command: Command, client: MlflowClient) -> None:
    """A sweep's words say it, too; registered again, the same version is beside the same earlier one."""
    registered()
    assert (
        command(
            "-m", "lr=0.1,0.2", "normalization=zscore", "epochs=500", "register=mine", *columns("now.csv")
        )
        == 0
    )
    [parent] = [run for run in recorded(client) if is_parent(run)]
    assert "not compared with models:/mine/2" in parent.data.tags["mlflow.note.content"]
    second = get(existing(), client.get_model_version("mine", "2").run_id)
    found = earlier(existing(), second, "mine")
    assert found is not None
    assert found[0] == "models:/mine/1"
