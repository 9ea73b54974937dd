"""What is on record after a run and after a sweep, read back through MLflow's own client."""

import math
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from scipy.stats import linregress

from src.fit.schedule import curve_schedule
from src.losses import mse
from src.tracking import started
from src.tracking.started import LONGEST_GIT_S, common_tags
from tests.conftest import ROOT
from tests.test_chapter import TABLE, TOLERANCE

GRID = ("-m", "lr=1e-2,1e-3", "normalization=none,scale,zscore", "epochs=500,5000", "hydra/launcher=basic")
EPSILON32 = 2.0**-23


def recorded(client: MlflowClient, filter_string: str = "") -> list[Run]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, filter_string))


def is_parent(run: Run) -> bool:
    """Whether it stands for a sweep, with the params and metrics of the sweep's best."""
    return "mlflow.parentRunId" not in run.data.tags and "sweep" in run.data.tags


def curve(client: MlflowClient, run: Run) -> dict[int, float]:
    return {point.step: point.value for point in client.get_metric_history(run.info.run_id, "loss")}


@pytest.fixture
def book(command: Callable[..., int], client: MlflowClient) -> Run:
    assert command("+experiment=book") == 0
    [run] = recorded(client)
    return run


def test_the_record_holds_the_chapters_numbers(book: Run, client: MlflowClient) -> None:
    losses = curve(client, book)
    assert {epoch: losses[epoch] for epoch in TABLE} == pytest.approx(TABLE, abs=TOLERANCE)
    metrics = book.data.metrics
    assert metrics["trained_w"] == pytest.approx(5.3671, abs=5e-5)
    assert metrics["trained_b"] == pytest.approx(-17.3012, abs=5e-5)
    assert metrics["w"] == pytest.approx(0.53671, abs=5e-6)  # raw units: a tenth of trained_w
    assert metrics["b"] == pytest.approx(-17.3012, abs=5e-5)
    assert metrics["loss"] == losses[5000]


def test_the_screen_shows_the_chapters_numbers(
    command: Callable[..., int], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command() == 0
    data, *lines = capsys.readouterr().out.splitlines()
    assert data == "data         data/thermometer.csv: 11 observations"
    shown = {int(line.split()[1].strip(",")): float(line.split()[3]) for line in lines[:10]}
    assert shown == pytest.approx(TABLE, abs=TOLERANCE)
    assert lines[10].startswith("calibration  t_c = 0.536")
    assert lines[11].startswith("exact        t_c = 0.536772 * t_u - 17.3048")
    assert "/#/experiments/" in lines[-2]
    assert "mlflow ui" in lines[-2]
    assert {path.name for path in folder.iterdir()} == {"data", "mlflow.db", "mlruns"}, (
        "something is left behind"
    )


def test_float64_gives_its_own_losses(command: Callable[..., int], client: MlflowClient) -> None:
    assert command("dtype=float64") == 0
    losses = curve(client, recorded(client)[0])
    assert losses[500] == pytest.approx(7.8601243, abs=5e-8)
    assert losses[5000] == pytest.approx(2.9276467, abs=5e-8)


def test_the_curve_is_even_on_a_log_axis(book: Run, client: MlflowClient) -> None:
    """The same epochs however many were asked for, beside each tenth and the last."""
    assert tuple(sorted(curve(client, book))) == curve_schedule(5000)
    for epochs in (1, 2, 19, 99, 100, 5000, 123457):
        schedule = curve_schedule(epochs)
        even = {round(10 ** (k / 12)) for k in range(100)}
        tenths = {-(-epochs * part // 10) for part in range(1, 11)}
        assert set(schedule) == {epoch for epoch in even if epoch <= epochs} | tenths
        assert schedule[-1] == epochs
        assert sorted(schedule) == list(schedule)
    assert len(curve_schedule(5000)) == 50


def test_the_path_of_a_single_run(book: Run, client: MlflowClient) -> None:
    """The parameters at each point of the curve: their loss, in the book's arithmetic, is the curve's."""
    data = pd.read_csv(ROOT / "data" / "thermometer.csv")
    t_un, t_c = 0.1 * torch.tensor(data.t_u, dtype=torch.float32), torch.tensor(data.t_c, dtype=torch.float32)
    path = [client.get_metric_history(book.info.run_id, f"path_{name}") for name in "wb"]
    losses = curve(client, book)
    assert [point.step for point in path[0]] == sorted(losses)
    for w, b in zip(*path, strict=True):
        assert float(mse(w.value * t_un + b.value, t_c)) == losses[w.step]


def test_points_of_the_curve(command: Callable[..., int], client: MlflowClient) -> None:
    assert command("epochs=100", "tracking.points=3") == 0
    [run] = recorded(client)
    assert sorted(curve(client, run)) == [1, 2, 5, 10, 20, 22, 30, 40, 46, 50, 60, 70, 80, 90, 100]


def test_whatever_tells_two_runs_apart_is_a_param(book: Run) -> None:
    assert book.data.params == {
        "lr": "0.01",
        "epochs": "5000",
        "normalization": "scale",
        "normalization_shift": "0.0",
        "normalization_scale": "0.1",
        "model": "linear",
        "start_w": "1.0",
        "start_b": "0.0",
        "loss": "mse",
        "scaling": "none",
        "data": "data/thermometer.csv",
        "data_input": "t_u",
        "data_target": "t_c",
        "dtype": "float32",
        "device": "cpu",
    }


def test_tags_dataset_status_and_insight(book: Run) -> None:
    tags, metrics = book.data.tags, book.data.metrics
    assert tags["outcome"] == "converged"
    assert tags["overrides"] == "lr=0.01 epochs=5000 normalization=scale"  # what repeats it
    assert len(tags["fingerprint"]) == 32
    assert "mlflow.user" in tags
    assert tags["processor"].endswith(torch.backends.cpu.get_cpu_capability())
    assert "sweep" not in tags
    assert book.info.status == "FINISHED"
    assert book.info.end_time >= book.info.start_time
    [dataset] = book.inputs.dataset_inputs
    assert dataset.dataset.name == "thermometer"
    assert dataset.dataset.digest
    assert [tag.value for tag in dataset.tags] == ["training"]
    assert metrics["lr_over_limit"] == pytest.approx(1e-2 / 0.0329782, rel=1e-5)
    assert metrics["condition_number"] == pytest.approx(
        357.00166, rel=1e-6
    )  # numpy's cond of [0.1 * t_u, 1], squared
    assert metrics["loss_gap"] == pytest.approx(metrics["loss"] - 2.92764557, abs=5e-7)


def test_a_run_repeats_bit_for_bit(book: Run, command: Callable[..., int], client: MlflowClient) -> None:
    assert command("+experiment=book") == 0
    again = next(run for run in recorded(client) if run.info.run_id != book.info.run_id)
    assert again.data.metrics == book.data.metrics
    assert again.data.tags["fingerprint"] == book.data.tags["fingerprint"]
    assert curve(client, again) == curve(client, book)


def test_a_run_stopped_short_says_so(command: Callable[..., int], client: MlflowClient) -> None:
    assert command("epochs=10") == 0
    [run] = recorded(client)
    assert run.data.tags["outcome"] == "stopped"
    assert run.info.status == "FINISHED"
    metrics = run.data.metrics
    data = pd.read_csv(ROOT / "data" / "thermometer.csv")
    loss = ((metrics["w"] * data.t_u + metrics["b"] - data.t_c) ** 2).mean()
    assert metrics["final_loss"] == pytest.approx(loss, rel=1e-12), "of the parameters on record"
    assert metrics["loss_gap"] == pytest.approx(loss - 2.92764557, rel=1e-6)
    assert metrics["loss"] > metrics["final_loss"], "the curve's last was before the last step"


def test_one_step_onto_the_best_fit(command: Callable[..., int], client: MlflowClient) -> None:
    """Of z-scored input every direction has the curvature 2: lr=0.5 lands on the optimum at once."""
    assert command("lr=0.5", "normalization=zscore", "epochs=1", "dtype=float64") == 0
    [run] = recorded(client)
    assert run.data.tags["outcome"] == "converged"
    assert run.data.metrics["loss_gap"] < 1e-20


@pytest.mark.parametrize("epochs", [26, 30, 60, 500, 5000])
def test_the_epoch_of_divergence(epochs: int, command: Callable[..., int], client: MlflowClient) -> None:
    """The first that is not finite, whichever are recorded; seen in the book's loop, epoch by epoch."""
    assert command("normalization=none", "lr=1e-3", f"epochs={epochs}") == 0
    [run] = recorded(client)
    assert run.data.metrics["diverged_at"] == 26
    assert run.data.tags["reason"].startswith("lr 0.001 is 2.9 times the limit 0.000339 of this input")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("grown", ["lr=0.0333 epochs=500", "lr=0.0666 loss=huber loss.delta=100 epochs=500",
                                   "lr=0.33 model=quadratic normalization=zscore epochs=400",
                                   "lr=0.1 model=exponential normalization=minmax epochs=8"])  # fmt: skip
def test_diverged_before_it_overflows(
    grown: str, dtype: str, command: Callable[..., int], client: MlflowClient
) -> None:
    """A loss that grows beyond the limit is no calibration, however finite: not kept, not registered."""
    assert command(*grown.split(), f"dtype={dtype}", "register=grown") == 0
    [run] = recorded(client)
    assert (run.data.tags["outcome"], run.info.status) == ("diverged", "FAILED")
    assert not {"w", "trained_w", "loss_gap", "final_loss", "diverged_at"} & run.data.metrics.keys()
    assert not client.search_registered_models()


def test_a_diverged_run_is_a_result_with_its_reason(
    command: Callable[..., int], client: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("normalization=none") == 0
    [run] = recorded(client)
    reason = "lr 0.01 is 29 times the limit 0.000339 of this input: use a smaller lr or normalization=zscore"
    assert run.info.status == "FAILED"
    assert run.data.tags["outcome"] == "diverged"
    assert run.data.tags["reason"] == reason
    assert run.data.tags["mlflow.note.content"] == f"Diverged at epoch 11: {reason}."
    assert run.data.metrics["diverged_at"] == 11
    best = {"best_w", "best_b", "best_loss"}
    path = {"loss", "path_w", "path_b"}
    assert set(run.data.metrics) == {"lr_over_limit", "condition_number", "diverged_at"} | best | path
    assert sorted(curve(client, run)) == [epoch for epoch in curve_schedule(5000) if epoch < 11]
    assert reason in capsys.readouterr().out


def test_zscore_is_not_advised_where_it_would_diverge_too(
    command: Callable[..., int], client: MlflowClient
) -> None:
    assert command("normalization=none", "lr=1.5") == 0  # zscore's limit is 1.0
    assert recorded(client)[0].data.tags["reason"].endswith("use a smaller lr")


def test_a_parabola_is_on_record_in_raw_units(command: Callable[..., int], client: MlflowClient) -> None:
    """Expected: numpy.polyfit(t_u, t_c, 2) on the chapter's data."""
    assert command("model=quadratic", "normalization=zscore", "lr=0.1", "epochs=1000") == 0
    [run] = recorded(client)
    assert run.data.tags["outcome"] == "converged"
    found = [run.data.metrics[name] for name in ("w2", "w1", "b")]
    assert found == pytest.approx([0.0028304320, 0.2476041443, -10.6496240198], rel=1e-2)


def test_norris_is_calibrated_to_its_certified_line(
    command: Callable[..., int], client: MlflowClient
) -> None:
    """NIST's certified values; float64 and z-scored, descent reaches nine digits in 500 epochs."""
    assert command("data=norris", "normalization=zscore", "lr=0.1", "epochs=500", "dtype=float64") == 0
    [run] = recorded(client)
    assert run.data.metrics["w"] == pytest.approx(1.00211681802045, rel=1e-9)
    assert run.data.metrics["b"] == pytest.approx(-0.262323073774029, rel=1e-9)


def test_a_sweep_is_one_parent_and_a_child_per_point(
    command: Callable[..., int], client: MlflowClient, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*GRID) == 0
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

    assert_ranked(capsys.readouterr().out)
    assert {path.name for path in folder.iterdir()} == {"data", "mlflow.db", "mlruns"}


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
    command: Callable[..., int], client: MlflowClient
) -> None:
    """gap = d' (X'X/N) d for a distance d from the optimum, so |d_w| and |d_b| are at most the square root
    of gap times the diagonal of its inverse; the rounding of the parameters comes on top.
    """
    assert command(*GRID) == 0
    converged = recorded(client, "tags.outcome = 'converged'")
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
    sweep = (
        "-m",
        "lr=1e-2,0.02",
        "normalization=zscore,none",
        "dtype=float64",
        "epochs=30",
        "hydra/launcher=basic",
    )
    assert command(*sweep) == 0
    [first] = recorded(client, "attributes.run_name = 'sweep lr=0.01,0.02 normalization=none,zscore'")
    client.download_artifacts(first.info.run_id, "sweep.yaml", str(tmp_path))
    assert command("-m", "--config-dir", ".", "--config-name", "sweep", "hydra/launcher=basic") == 0
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


@pytest.mark.usefixtures("folder")
def test_a_bug_before_the_training_is_no_mistake_of_the_users(
    command: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from src.fit import plan

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(plan, "yardstick", broken)
    assert command("epochs=5") == 1
    errors = capfd.readouterr().err
    assert "Traceback" in errors
    assert "ZeroDivisionError: a bug" in errors


def test_a_long_path_is_a_path(command: Callable[..., int], client: MlflowClient, folder: Path) -> None:
    deep = Path(*["d" * 100] * 4)
    (folder / deep).mkdir(parents=True)
    (folder / deep / "mine.csv").write_text("t_u,t_c\n1,2\n2,3\n3,5\n")
    assert command(f"data.path={deep / 'mine.csv'}", "epochs=5") == 0
    assert recorded(client)[0].data.params["data"] == str(deep / "mine.csv")


def test_a_deleted_experiment_is_told_with_the_way_back(
    command: Callable[..., int], client: MlflowClient, capfd: pytest.CaptureFixture[str]
) -> None:
    client.delete_experiment(client.create_experiment("thermometer"))
    assert command("epochs=5") == 2
    assert "mlflow experiments restore" in capfd.readouterr().err


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


GITS = {
    "hangs": "sleep 60",
    "fails": "exit 1",
    "answers garbage": r"printf '\377\000# branch.oid HEAD\n'",
    "has no commit yet": "echo '# branch.oid (initial)'",
}


@pytest.mark.parametrize("script", GITS.values(), ids=GITS)
def test_a_git_that(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs two seconds at most, and the commit tag."""
    git = tmp_path / "git"
    git.write_text(f"#!/bin/sh\n{script}\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    common_tags.cache_clear()
    begun = time.monotonic()
    tags = common_tags()
    common_tags.cache_clear()
    assert time.monotonic() - begun < 2 * LONGEST_GIT_S
    assert tags.keys() == {"mlflow.user", "mlflow.source.name", "mlflow.source.type"}


def test_the_commit_and_whether_it_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As git says it of a repository of its own."""
    monkeypatch.setattr(started, "__file__", str(tmp_path / "started.py"))

    def git(*command: str) -> str:
        name = ("-c", "user.name=me", "-c", "user.email=me@here")
        return subprocess.run(
            ["git", *name, *command], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    (tmp_path / "a").touch()
    for line in ("init -q", "add a", "commit -qm a"):
        git(*line.split())
    common_tags.cache_clear()
    clean = common_tags()
    (tmp_path / "a").write_text("changed")
    (tmp_path / "untracked").touch()
    common_tags.cache_clear()
    changed = common_tags()
    common_tags.cache_clear()
    assert (
        clean["mlflow.source.git.commit"] == changed["mlflow.source.git.commit"] == git("rev-parse", "HEAD")
    )
    assert (clean["git_dirty"], changed["git_dirty"]) == ("false", "true")


def test_mode_given_as_an_override_is_a_sweep_too(command: Callable[..., int], client: MlflowClient) -> None:
    assert command("++hydra.mode=MULTIRUN", "lr=1e-2,1e-3", "epochs=5") == 0
    assert len(recorded(client)) == 3


def test_a_slope_that_chance_gives(
    folder: Path, command: Callable[..., int], client: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """Noise alone: told before it is registered. The probability is scipy's, of the F test."""
    noise = np.random.default_rng(4)
    frame = pd.DataFrame({"t_u": np.arange(10.0), "t_c": noise.normal(0, 1, 10)})
    frame.to_csv(folder / "noise.csv", index=False)
    p = linregress(frame.t_u, frame.t_c).pvalue
    assert p > 0.05
    assert command("data.path=noise.csv", "normalization=zscore", "lr=0.5", "epochs=50", "register=n") == 0
    told = f"t_c may not depend on t_u at all: by chance a fit is as good as this in {p:.0%} of cases"
    said = capsys.readouterr().out
    assert told in said
    assert said.index("caution") < said.index("models:/n/1")
    [run] = [run for run in recorded(client) if not is_parent(run)]
    assert run.data.tags["caution"] == told


def test_a_thermometer_needs_no_caution(book: Run) -> None:
    assert "caution" not in book.data.tags
