"""What is on record after a sweep, whatever became of its jobs."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.conftest import train_in, work_in
from tests.record import is_parent, recorded

GRID = ("-m", "lr=1e-2,1e-3", "normalization=none,scale,zscore", "epochs=500,5000")
EPSILON32 = 2.0**-23


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> tuple[Path, str]:
    """A folder with the sweep, and what it showed."""
    place = tmp_path_factory.mktemp("swept")
    return place, train_in(place, migrated_store, GRID)


def test_a_sweep_is_one_parent_and_a_child_per_point(
    swept: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, screen = swept
    client = work_in(place, monkeypatch)
    runs = recorded(client)
    [parent] = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run is not parent]
    assert len(children) == 12
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.data.tags["sweep"] for run in children} == {parent.data.tags["sweep"]}
    assert parent.info.status == "FINISHED"
    points = {tuple(run.data.params[key] for key in ("lr", "normalization", "epochs")) for run in children}
    assert len(points) == 12

    diverged = [run for run in children if run.data.tags["outcome"] == "diverged"]
    assert len(diverged) == 4
    assert {run.data.params["normalization"] for run in diverged} == {"none"}
    assert all(run.data.metrics["diverged_at"] > 0 for run in diverged)
    for run in runs:
        for key in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, key)
            # what MLflow makes of infinity is the largest float64
            assert all(math.isfinite(p.value) and abs(p.value) < 1e300 for p in history), (run, key)

    assert_ranked(screen)
    assert {path.name for path in place.iterdir()} == {"data", "mlflow.db", "mlruns"}


def assert_ranked(screen: str) -> None:
    """Ties cheapest first, then by loss, diverged last, then their reasons and the address."""
    lines = [line for line in screen.splitlines() if not line.startswith("data ")]
    outcomes = [line.split()[-1] if "diverged" not in line else "diverged" for line in lines[1:13]]
    assert outcomes == ["converged"] * 4 + ["stopped"] * 4 + ["diverged"] * 4
    rows = [line.split() for line in lines[1:9]]
    assert [row[1:4] for row in rows[:4]] == [
        ["0.01", "500", "zscore"],
        ["0.001", "5000", "zscore"],
        ["0.01", "5000", "scale"],
        ["0.01", "5000", "zscore"],
    ]
    gaps = [float(row[5]) for row in rows[4:]]
    assert gaps == sorted(gaps)
    assert any("29 times the limit 0.000339" in line for line in lines[13:])
    assert "/#/experiments/" in lines[-2]


def test_converged_runs_agree_on_raw_parameters_as_their_loss_gap_implies(
    swept: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """gap = d' (X'X/N) d for a distance d from the optimum, so |d_w| and |d_b| are at most the square root
    of gap times the diagonal of its inverse; the rounding of the parameters comes on top.
    """
    converged = recorded(work_in(swept[0], monkeypatch), "tags.outcome = 'converged'")
    assert len(converged) == 4
    t_u = [35.7, 55.9, 58.2, 81.9, 56.3, 48.9, 33.9, 21.8, 48.4, 60.4, 68.4]
    mean, square = sum(t_u) / 11, sum(x * x for x in t_u) / 11
    inverse_w, inverse_b = 1 / (square - mean**2), square / (square - mean**2)
    for run in converged:
        gap, w, b = (run.data.metrics[key] for key in ("loss_gap", "w", "b"))
        assert abs(w - 0.5367719209) <= math.sqrt(gap * inverse_w) + 4 * EPSILON32 * abs(w)
        assert abs(b + 17.3047855030) <= math.sqrt(gap * inverse_b) + 4 * EPSILON32 * abs(b)


def test_the_sweeps_config_repeats_it(
    command: Callable[..., int], client: MlflowClient, tmp_path: Path
) -> None:
    """Saved as a config it gives the same runs, whatever the defaults have become."""
    sweep = ("-m", "lr=1e-2,0.02", "normalization=zscore,none", "dtype=float64", "epochs=30")
    assert command(*sweep) == 0
    [first] = recorded(client, "attributes.run_name = 'sweep lr=0.01,0.02 normalization=none,zscore'")
    client.download_artifacts(first.info.run_id, "sweep.yaml", str(tmp_path))
    assert command("-m", "--config-dir", ".", "--config-name", "sweep") == 0
    prints: dict[str, list[str]] = {}
    for run in recorded(client):
        if "fingerprint" in run.data.tags:
            prints.setdefault(run.data.tags["sweep"], []).append(run.data.tags["fingerprint"])
    once, again = prints.values()
    assert len(once) == 4
    assert sorted(once) == sorted(again)


def test_a_wrong_point_fails_alone(
    command: Callable[..., int], client: MlflowClient, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command("-m", "lr=1e-2,-1,1e-3", "epochs=5", "hydra/launcher=basic") == 1
    rates = {run.data.params["lr"] for run in recorded(client) if not is_parent(run)}
    assert rates == {"0.01", "0.001"}
    assert "lr=-1 is not allowed" in capfd.readouterr().err
    assert {run.info.status for run in recorded(client)} == {"FINISHED"}


def test_a_crash_is_told_from_divergence(
    command: Callable[..., int],
    client: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from src.fit import training

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(training, "training_loop", broken)
    assert command("epochs=5") == 1
    assert "RuntimeError: out of memory" in capfd.readouterr().err
    [run] = recorded(client)
    assert run.info.status == "FAILED"
    assert "outcome" not in run.data.tags
    assert "out of memory" in run.data.tags["mlflow.note.content"]


def test_a_sweep_whose_artifacts_cannot_be_written_still_shows_and_ends(
    command: Callable[..., int], client: MlflowClient, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The runs are what matters: they are on record, ranked on the screen, and the parent is not RUNNING."""
    (folder / "mlruns").write_text("a file where a folder should be")
    assert command("-m", "lr=1e-2,1e-3", "epochs=5") == 1
    output = capfd.readouterr()
    assert "stopped" in output.out
    assert len(output.err.splitlines()) == 1
    assert "runs are on record" in output.err
    assert {run.info.status for run in recorded(client)} == {"FINISHED"}


def test_a_sweep_over_experiments_has_a_parent_in_each(
    command: Callable[..., int], client: MlflowClient
) -> None:
    assert command("-m", "tracking.experiment=a,b", "lr=1e-2,1e-3", "epochs=5") == 0
    for name in ("a", "b"):
        experiment = client.get_experiment_by_name(name)
        runs = client.search_runs([experiment.experiment_id])
        [parent] = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        assert len(runs) == 3
        assert parent.info.status == "FINISHED"
        assert parent.info.run_name == "sweep lr=0.001,0.01"


def test_a_job_in_a_folder_of_its_own_is_recorded_here(
    command: Callable[..., int], client: MlflowClient, folder: Path
) -> None:
    """And reads the data from here; the folder of its own is gone when the sweep has ended."""
    (folder / "mine.csv").write_text("t_u,t_c\n1,2\n2,3\n3,5\n")
    moved = ("hydra/launcher=basic", "hydra.job.chdir=true", "data.path=mine.csv")
    assert command("-m", "lr=1e-2,1e-3", "epochs=2", "tracking.experiment=fresh", *moved) == 0
    runs = recorded(client)
    assert sorted(run.data.params["lr"] for run in runs if not is_parent(run)) == ["0.001", "0.01"]
    assert {Path(run.info.artifact_uri).parents[2] for run in runs} == {folder / "mlruns"}


def test_mode_given_as_an_override_is_a_sweep_too(command: Callable[..., int], client: MlflowClient) -> None:
    assert command("++hydra.mode=MULTIRUN", "lr=1e-2,1e-3", "epochs=5") == 0
    assert len(recorded(client)) == 3
