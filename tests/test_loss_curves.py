"""The loss curves: what is in the frame, what is marked, and which of many are drawn."""

from dataclasses import replace

import numpy as np
import pytest

from src.report.figures._named import sample
from src.report.figures.loss_curves import loss_curves
from src.tracking.ranking import ranked
from tests import figures
from tests.figures import Sweep, caption, legend, png, texts, train, with_marker

pytestmark = pytest.mark.pictures


@pytest.fixture(scope="module")
def readme() -> Sweep:
    return figures.readme()


@pytest.fixture(scope="module")
def many(readme: Sweep) -> Sweep:
    return figures.many(readme)


def test_losses_of_1e38_do_not_spoil_the_range(readme: Sweep) -> None:
    """Of usable runs 171.2 °C² is the largest, of the z-score; four leave at once, and are numbered there."""
    assert max(losses[-1] for _, losses in readme.curves.values()) > 1e30
    axes = loss_curves(readme.runs, readme.curves).axes[0]
    assert axes.get_ylim() == pytest.approx((0.7 * 2.92765, 3 * 171.157), rel=1e-4)
    arrows = with_marker(axes, "^")
    assert sum(len(line.get_xdata()) for line in arrows) == 4
    assert "9, 10, 11, 12" in texts(axes)


def test_a_terrible_start_does_not_spoil_the_range(readme: Sweep) -> None:
    runs = [*readme.runs[:8], replace(readme.runs[-1], run_id="far")]
    axes = loss_curves(runs, {**readme.curves, "far": ([1, 2], [1e30, 1e36])}).axes[0]
    assert axes.get_ylim()[1] < 1e6


def test_where_all_diverge_their_curves_are_shown_whole() -> None:
    sweep = train((0.1, "none", 500), (1.0, "none", 500))
    axes = loss_curves(sweep.runs, sweep.curves).axes[0]
    assert axes.get_ylim()[1] > max(loss for _, losses in sweep.curves.values() for loss in losses)
    assert not with_marker(axes, "^")


def test_epochs_are_whole_numbers() -> None:
    """Of a run of one epoch, too."""
    sweep = train((0.1, "zscore", 1))
    figure = loss_curves(sweep.runs, sweep.curves)
    figure.draw_without_rendering()
    axis = figure.axes[0].xaxis
    low, high = axis.get_view_interval()
    ticks = [
        (tick.get_loc(), tick.label1.get_text())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
    ]
    assert {text for place, text in ticks if low <= place <= high} <= {"1", "2", ""}


@pytest.mark.parametrize(("losses", "least"), [([4.0, 1.0, 0.0], 1.0), ([0.0, 0.0, 0.0], 0.1)])
def test_a_loss_of_zero_has_a_place(losses: list[float], least: float, readme: Sweep) -> None:
    """At the bottom, under the least that is more."""
    figure = loss_curves(readme.runs[:1], {readme.runs[0].run_id: ([1, 2, 3], losses)})
    png(figure)
    low, high = figure.axes[0].get_ylim()
    drawn = np.asarray(figure.axes[0].lines[0].get_ydata(), dtype=float)
    assert 0 < low == drawn.min() <= least
    assert drawn.max() < high
    assert low > least / 2


def test_the_exact_optimum_is_marked_where_all_runs_have_the_same(readme: Sweep) -> None:
    """2.9276455, the seed's; runs on two files have two, and on none of them the other's."""
    axes = loss_curves(readme.runs, readme.curves).axes[0]
    marks = [line for line in axes.lines if str(line.get_label()).startswith("exact optimum")]
    assert float(np.asarray(marks[0].get_ydata())[0]) == pytest.approx(2.9276455, rel=1e-6)
    other = replace(readme.runs[1], params={**readme.runs[1].params, "data": "elsewhere.csv"})
    assert not any(
        "optimum" in label for label in legend(loss_curves([readme.runs[0], other], readme.curves))
    )


def test_a_sample_of_the_curves_says_so(many: Sweep) -> None:
    drawn = sample(many.runs, 300)
    assert 290 < len(drawn) <= 300
    assert drawn[0] is many.runs[0]
    assert drawn[-1] is many.runs[-1]
    figure = loss_curves(many.runs, {run.run_id: many.curves[run.run_id] for run in drawn})
    assert f"of 10,000 runs. Drawn are {len(drawn)}, evenly spaced in the ranking." in caption(figure)
    assert "2,500 diverged" in caption(figure)


def test_a_sample_of_another_ranking_holds_the_named_runs_too(many: Sweep) -> None:
    """By learning rate, diverged runs stand between usable ones."""
    runs = ranked(many.runs, by="lr")
    usable = [run for run in runs if "loss_gap" in run.metrics]
    drawn = {run.run_id for run in sample(runs, 300)}
    assert {run.run_id for run in (usable[0], usable[(len(usable) - 1) // 2], usable[-1])} <= drawn


def test_a_small_sweep_is_sampled_whole(many: Sweep) -> None:
    for number in (0, 1, 12, 300):
        assert sample(many.runs[:number], 300) == many.runs[:number]
