"""The map of the loss gap: cells, limits and rows."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes

from src.report.figures.loss_curves import loss_curves
from src.report.figures.loss_gap import loss_gap_map
from src.tracking.record import TrackedRun
from tests import figures
from tests.figures import NORMALIZATIONS, Sweep, caption, legend, png, texts, train, with_marker

pytestmark = pytest.mark.pictures

# 2 / lambda_max, from the project's seed facts
LIMITS = {"none": 0.000339938, "scale": 0.0329782, "zscore": 1.0}


@pytest.fixture(scope="module")
def readme() -> Sweep:
    return figures.readme()


def limit_lines(axes: Axes) -> list[float]:
    """The x of the vertical lines, from the top row down."""
    vertical = [np.asarray(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
    return [float(x[0]) for x in vertical if x[0] == x[1]]


def test_one_run_claims_no_range(readme: Sweep) -> None:
    """No colour bar, and a cell about its own learning rate alone."""
    figure = loss_gap_map(readme.runs[:1])
    [axes] = figure.axes
    edges = np.asarray(axes.collections[0].get_coordinates())[0, :, 0]  # type: ignore[attr-defined]
    assert edges[-1] / edges[0] < 1.3
    assert "the lower, the better" in caption(figure)


@pytest.mark.parametrize(
    ("limits", "told"),
    [((3.39938e-4, 1.0), ["0.000339", "1"]), ((8.7321e-8, 3.39938e-4), ["8.73e-08", "3.39e-04"])],
)
def test_limits_have_one_notation(limits: tuple[float, float], told: list[str], readme: Sweep) -> None:
    """Three digits, rounded down; with exponents where one of them needs it, the learning rates' too."""
    runs = [
        replace(
            run,
            params=run.params | {"lr": "0.001", "normalization": name},
            metrics=run.metrics | {"lr_over_limit": 1e-3 / limit},
        )
        for run, name, limit in zip(readme.runs[:2], ("none", "zscore"), limits, strict=True)
    ]
    figure = loss_gap_map(runs)
    figure.draw_without_rendering()
    assert [text for text in texts(figure.axes[0]) if text in told] == told
    ticks = {label.get_text() for label in figure.axes[0].get_xticklabels()}
    assert ("1e-03" if "e" in told[0] else "0.001") in ticks


def test_the_runs_fill_half_the_map_at_least() -> None:
    """Limits that are far away are told beside the rows."""
    sweep = train(*[(lr, name, 10) for lr in np.geomspace(1e-3, 1e-2, 20) for name in NORMALIZATIONS])
    left, right = loss_gap_map(sweep.runs).axes[0].get_xlim()
    assert np.log(10) / np.log(right / left) > 0.5


def test_limits_stand_where_the_seed_says(readme: Sweep) -> None:
    """Two rows, of 500 and 5000 epochs, for each; as a line, and as a number beside the row."""
    axes = loss_gap_map(readme.runs).axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == [f"{name} · {epochs} epochs" for name in LIMITS for epochs in ("500", "5,000")]
    expected = [limit for limit in LIMITS.values() for _ in range(2)]
    assert limit_lines(axes) == pytest.approx(expected, rel=2e-6)
    assert [text for text in texts(axes) if text in ("0.000339", "0.0329", "1")] == [
        "0.000339",
        "0.000339",
        "0.0329",
        "0.0329",
        "1",
        "1",
    ]


def test_cells_tell_their_gap_and_crosses_the_diverged(readme: Sweep) -> None:
    """Of the README's table: of four ties lr=0.01 zscore 500 is the cheapest; four on raw input diverge."""
    axes = loss_gap_map(readme.runs).axes[0]
    assert {"23", "4.9", "1.1e-06", "1e-09"} <= set(texts(axes))
    crosses = [tuple(point) for line in with_marker(axes, "x") for point in line.get_xydata()]
    assert sorted(crosses) == [(1e-3, 0), (1e-3, 1), (1e-2, 0), (1e-2, 1)]
    lr, row = with_marker(axes, "*")[0].get_xydata()[0]
    assert (lr, round(row)) == (pytest.approx(1e-2), 4)


def test_the_largest_unstable_gap_does_not_spoil_the_colours() -> None:
    """An older run beyond the limit that was stopped in time has any gap, here 1e60."""
    runs = train((0.01, "zscore", 20), (1e-3, "zscore", 20), (1.0, "none", 10), dtype="float64").runs
    runs = [
        run if "loss_gap" in run.metrics else replace(run, metrics=run.metrics | {"loss_gap": 1e60})
        for run in runs
    ]
    assert loss_gap_map(runs).axes[1].get_ylim()[1] < 1e3


def test_gaps_of_zero_have_a_colour(readme: Sweep) -> None:
    exact = replace(readme.runs[0], metrics={**readme.runs[0].metrics, "loss_gap": 0.0})
    for runs in ([exact], [exact, *readme.runs[1:]]):
        figure = loss_gap_map(runs)
        png(figure)
        assert "best: 0" in legend(figure)


def test_factors_of_a_scale_are_rows_of_their_own() -> None:
    settings = [{"name": "scale", "factor": factor} for factor in (0.01, 0.1)]
    parts = [train((1e-3, "scale", 10), normalization=setting) for setting in settings]
    axes = loss_gap_map([part.runs[0] for part in parts]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["scale · ×0.1", "scale · ×0.01"]


def test_two_files_are_rows_of_their_own(readme: Sweep) -> None:
    other = replace(readme.runs[1], params={**readme.runs[1].params, "data": "elsewhere/norris.csv"})
    axes = loss_gap_map([readme.runs[0], other]).axes[0]
    rows = {label.get_text() for label in axes.get_yticklabels()}
    assert rows == {"norris.csv · zscore · 5,000 epochs", "thermometer.csv · zscore · 500 epochs"}


def test_too_many_rows_are_joined_and_a_cell_is_their_best(readme: Sweep) -> None:
    run = next(run for run in readme.runs if run.params["normalization"] == "zscore")
    runs = [
        replace(
            run, params={**run.params, "epochs": str(epochs)}, metrics={**run.metrics, "loss_gap": 1 / epochs}
        )
        for epochs in range(1, 26)
    ]
    assert len(loss_gap_map(runs[:24]).axes[0].get_yticks()) == 24
    figure = loss_gap_map(runs)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["zscore"]
    assert "0.04" in texts(figure.axes[0])
    assert "best of all runs that share its row" in caption(figure)


def test_of_still_too_many_rows_the_best_are_shown(readme: Sweep) -> None:
    run = next(run for run in readme.runs if run.params["normalization"] == "scale")
    runs = [
        replace(
            run,
            params={**run.params, "normalization_scale": str(factor)},
            metrics={**run.metrics, "loss_gap": float(factor)},
        )
        for factor in range(1, 31)
    ]
    figure = loss_gap_map(runs)
    rows = {label.get_text() for label in figure.axes[0].get_yticklabels()}
    assert rows == {f"scale · ×{factor}" for factor in range(1, 25)}
    assert "6 more rows" in caption(figure)


def test_a_run_without_any_result_has_a_cell(readme: Sweep) -> None:
    """A crashed one has settings and nothing else; one of another program not even those."""
    crashed = replace(
        readme.runs[0], run_id="c", params={**readme.runs[0].params, "lr": "0.5"}, metrics={}, tags={}
    )
    foreign = TrackedRun("f", "other", "FINISHED", {"alpha": "1"}, {"loss": 3.0}, {})
    axes = loss_gap_map([readme.runs[0], crashed, foreign]).axes[0]
    assert [tuple(point) for line in with_marker(axes, "x") for point in line.get_xydata()] == [(0.5, 0)]
    png(loss_curves([readme.runs[0], crashed, foreign], readme.curves))
    png(loss_gap_map([foreign]))
