"""What is on record after a run, read back through MLflow's own client."""

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
from tests.conftest import ROOT, train_in, work_in
from tests.record import curve, is_parent, recorded
from tests.test_chapter import TABLE, TOLERANCE


@pytest.fixture(scope="module")
def chapter(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> tuple[Path, str]:
    """A folder with the chapter's run, and what it showed."""
    place = tmp_path_factory.mktemp("book")
    return place, train_in(place, migrated_store, ["+experiment=book"])


@pytest.fixture
def store(chapter: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """MLflow's own client on its store."""
    return work_in(chapter[0], monkeypatch)


@pytest.fixture
def book(store: MlflowClient) -> Run:
    [run] = recorded(store)
    return run


def test_the_record_holds_the_chapters_numbers(book: Run, store: MlflowClient) -> None:
    losses = curve(store, book)
    assert {epoch: losses[epoch] for epoch in TABLE} == pytest.approx(TABLE, abs=TOLERANCE)
    metrics = book.data.metrics
    assert metrics["trained_w"] == pytest.approx(5.3671, abs=5e-5)
    assert metrics["trained_b"] == pytest.approx(-17.3012, abs=5e-5)
    assert metrics["w"] == pytest.approx(0.53671, abs=5e-6)  # raw units: a tenth of trained_w
    assert metrics["b"] == pytest.approx(-17.3012, abs=5e-5)
    assert metrics["loss"] == losses[5000]


def test_the_screen_shows_the_chapters_numbers(chapter: tuple[Path, str]) -> None:
    folder, screen = chapter
    data, *lines = screen.splitlines()
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


def test_the_curve_is_even_on_a_log_axis(book: Run, store: MlflowClient) -> None:
    """The same epochs however many were asked for, beside each tenth and the last."""
    assert tuple(sorted(curve(store, book))) == curve_schedule(5000)
    for epochs in (1, 2, 19, 99, 100, 5000, 123457):
        schedule = curve_schedule(epochs)
        even = {round(10 ** (k / 12)) for k in range(100)}
        tenths = {-(-epochs * part // 10) for part in range(1, 11)}
        assert set(schedule) == {epoch for epoch in even if epoch <= epochs} | tenths
        assert schedule[-1] == epochs
        assert sorted(schedule) == list(schedule)
    assert len(curve_schedule(5000)) == 50


def test_the_path_of_a_single_run(book: Run, store: MlflowClient) -> None:
    """The parameters at each point of the curve: their loss, in the book's arithmetic, is the curve's."""
    data = pd.read_csv(ROOT / "data" / "thermometer.csv")
    t_un, t_c = 0.1 * torch.tensor(data.t_u, dtype=torch.float32), torch.tensor(data.t_c, dtype=torch.float32)
    path = [store.get_metric_history(book.info.run_id, f"path_{name}") for name in "wb"]
    losses = curve(store, book)
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


def test_a_run_repeats_bit_for_bit(
    book: Run, store: MlflowClient, command: Callable[..., int], client: MlflowClient
) -> None:
    assert command("+experiment=book") == 0
    [again] = recorded(client)
    assert again.data.metrics == book.data.metrics
    assert again.data.tags["fingerprint"] == book.data.tags["fingerprint"]
    assert curve(client, again) == curve(store, book)


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


def test_the_epoch_of_divergence(command: Callable[..., int], client: MlflowClient) -> None:
    """The first that is not finite, whichever are recorded; seen in the book's loop, epoch by epoch."""
    assert command("-m", "normalization=none", "lr=1e-3", "epochs=26,30,60,500,5000") == 0
    runs = [run for run in recorded(client) if not is_parent(run)]
    assert [run.data.metrics["diverged_at"] for run in runs] == [26] * 5
    reason = "lr 0.001 is 2.9 times the limit 0.000339 of this input"
    assert all(run.data.tags["reason"].startswith(reason) for run in runs)


@pytest.mark.parametrize("grown", ["lr=0.0333 epochs=500", "lr=0.0666 loss=huber loss.delta=100 epochs=500",
                                   "lr=0.33 model=quadratic normalization=zscore epochs=400",
                                   "lr=0.1 model=exponential normalization=minmax epochs=8"])  # fmt: skip
def test_diverged_before_it_overflows(grown: str, command: Callable[..., int], client: MlflowClient) -> None:
    """A loss that grows beyond the limit is no calibration, however finite: not kept, not registered."""
    assert command("-m", *grown.split(), "dtype=float32,float64", "register=grown") == 0
    runs = [run for run in recorded(client) if not is_parent(run)]
    assert [(run.data.tags["outcome"], run.info.status) for run in runs] == [("diverged", "FAILED")] * 2
    for run in runs:
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
