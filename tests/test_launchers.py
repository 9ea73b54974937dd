"""The record does not depend on the launcher, nor on how a sweep is cut into batches."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from src import train
from src.fit import training
from src.package import CONF
from tests.record import curve, is_parent, recorded

# Two normalizations, two numbers of epochs, two rates, the larger beyond every limit (1.0 of zscore)
POINTS = ("-m", "lr=1e-2,3", "normalization=none,zscore", "epochs=60,300")
UNLIKE = ("sweep", "mlflow.parentRunId")  # which sweep, under which parent
LAUNCHERS = {
    "basic": ["hydra/launcher=basic"],
    "batch": [],
    "batches of five": ["hydra.launcher.batch_size=5"],
}


def by_point(client: MlflowClient, sweep: str) -> dict[str, dict[str, object]]:
    """All that is on record for each point of a sweep, ids and times aside."""
    runs = [run for run in recorded(client, f"tags.sweep = '{sweep}'") if not is_parent(run)]
    points = {
        run.data.tags["overrides"]: {
            "name": run.info.run_name,
            "status": run.info.status,
            "params": run.data.params,
            "metrics": run.data.metrics,
            "curve": curve(client, run),
            "tags": {key: value for key, value in run.data.tags.items() if key not in UNLIKE},
            "dataset": [dict(one.dataset) for one in run.inputs.dataset_inputs],
        }
        for run in runs
    }
    assert len(points) == len(runs), "a point is on record twice"
    return points


def parents(client: MlflowClient) -> list[Run]:
    """Newest first."""
    return [run for run in recorded(client) if "mlflow.parentRunId" not in run.data.tags]


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_every_launcher_leaves_the_same_record(
    dtype: str, command: Callable[..., int], client: MlflowClient
) -> None:
    """Bit for bit: all operations are element by element, or sums over one run's observations."""
    told = []
    for options in LAUNCHERS.values():
        assert command(*POINTS, f"dtype={dtype}", *options) == 0
        told.append(by_point(client, parents(client)[0].data.tags["sweep"]))
    stock, *others = told
    assert len(stock) == 8
    diverged = {line for line, point in stock.items() if point["status"] == "FAILED"}
    assert {
        "lr=3 epochs=300 normalization=" + name + (" dtype=float64" if dtype == "float64" else "")
        for name in ("none", "zscore")
    } <= diverged
    for other in others:
        assert other == stock


def test_an_impossible_point_among_many_fails_alone(
    command: Callable[..., int], client: MlflowClient, capfd: pytest.CaptureFixture[str]
) -> None:
    rates = ",".join(str(0.00001 * place) for place in range(1, 300))
    assert command("-m", f"lr={rates},-1", "epochs=2") == 1
    errors = capfd.readouterr().err
    assert "1 of 300 jobs failed" in errors
    assert "job 299 (lr=-1 epochs=2): ConfigError: lr=-1 is not allowed" in errors
    assert len(recorded(client, "attributes.status = 'FINISHED' and tags.outcome = 'stopped'")) == 299
    assert [run.info.status for run in parents(client)] == ["FINISHED"]


def test_one_sweep_over_two_files_reads_and_refuses_each_once(
    command: Callable[..., int],
    client: MlflowClient,
    folder: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (folder / "other.csv").write_text("t_u,t_c\n1,2\n2,3\n3,5\n")
    assert command("-m", "data.path=other.csv,data/thermometer.csv,nope.csv", "lr=1e-3,1e-4", "epochs=3") == 1
    assert capfd.readouterr().err.count("nope.csv: no such file") == 1  # both jobs on one line
    found = {run.data.params["data"] for run in recorded(client) if not is_parent(run)}
    assert found == {"other.csv", "data/thermometer.csv"}


def test_train_returns_the_objective_of_each_config(folder: Path) -> None:
    """The final loss, infinity where it diverged: what a sweeper that searches would minimize.

    That of the book's loop at its epoch 501, which is measured before the update.
    """
    from hydra import compose, initialize_config_dir

    del folder
    lines = (["epochs=500"], ["normalization=none"], ["lr=-1"])
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfgs = [compose("config", overrides) for overrides in lines]
    final, diverged, refused = train.train(cfgs)
    assert final == pytest.approx(7.843371, abs=5e-6)
    assert diverged == float("inf")
    assert isinstance(refused, train.ConfigError)


def test_runs_too_many_for_one_call_are_trained_in_parts(
    command: Callable[..., int], client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eleven observations and a limit of 33 elements: three runs a call, the same numbers."""
    sizes = []
    training_loop = training.training_loop

    def spy(**options: object) -> object:
        sizes.append(len(options["params"]))  # type: ignore[arg-type]
        return training_loop(**options)  # type: ignore[arg-type]

    assert command("-m", "lr=range(1,8)", "normalization.factor=1e-3", "epochs=40") == 0
    whole = by_point(client, parents(client)[0].data.tags["sweep"])
    monkeypatch.setattr(training, "MOST_ELEMENTS", 33)
    monkeypatch.setattr(training, "training_loop", spy)
    assert command("-m", "lr=range(1,8)", "normalization.factor=1e-3", "epochs=40") == 0
    assert sizes[0] == max(sizes) == 3, "with calls between them that date the divergences"
    assert by_point(client, parents(client)[0].data.tags["sweep"]) == whole
