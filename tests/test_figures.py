"""Figures say what they should at any number of runs, and hold what would spoil them at bay."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from src.report.figures._canvas import styles
from src.report.figures._named import WIDE, sample
from src.report.figures.fits import fits
from src.report.figures.loss_curves import loss_curves
from src.report.figures.loss_gap import loss_gap_map
from src.tracking.ranking import ranked
from tests import figures
from tests.figures import LINE, PARABOLA, Sweep, legend, png, texts, train, with_marker

pytestmark = pytest.mark.pictures


@pytest.fixture(scope="module")
def readme() -> Sweep:
    return figures.readme()


@pytest.fixture(scope="module")
def many(readme: Sweep) -> Sweep:
    return figures.many(readme)


@pytest.fixture(scope="module")
def models() -> Sweep:
    """Fourteen runs of a line and fourteen of a parabola, some of them diverged."""
    rates = [(float(lr), name, 300) for lr in np.geomspace(1e-3, 0.5, 7) for name in ("scale", "zscore")]
    parts = [train(*rates, model=model) for model in (LINE, PARABOLA)]
    runs, curves = [], {}
    for part in parts:
        for run in part.runs:
            run_id = f"{run.params['model']}-{run.run_id}"
            runs.append(replace(run, run_id=run_id))
            curves[run_id] = part.curves[run.run_id]
    return Sweep(ranked(runs), curves, parts[0].problem)


@pytest.mark.parametrize(
    "choices",
    [
        pytest.param([(1e-2, "scale", 5000)], id="one run"),
        pytest.param([(1e-2, "scale", 1)], id="one epoch"),
        pytest.param([(0.1, "none", 500)], id="one that diverges"),
        pytest.param([(0.1, "none", 500), (1.0, "none", 500)], id="all diverge"),
        pytest.param([(lr, "zscore", 20) for lr in np.geomspace(1e-4, 2, 40)], id="forty"),
    ],
)
def test_figures_are_drawn_without_a_warning(choices: list[tuple[float, str, int]]) -> None:
    """Warnings are errors here, so that nothing of matplotlib's comes to the user's screen."""
    for figure in train(*choices).figures():
        assert len(png(figure)) < 300_000


def test_ten_thousand_runs_are_three_small_figures_of_few_lines(many: Sweep) -> None:
    for figure in many.figures():
        assert sum(len(axes.lines) for axes in figure.axes) < 20
        assert len(png(figure)) < 300_000


def test_of_many_diverged_runs_in_a_row_some_are_crossed(many: Sweep) -> None:
    """2,500 of them, as dense as can be told apart: at most a cross for each thirty-third of the width."""
    crosses = with_marker(loss_gap_map(many.runs).axes[0], "x")
    assert 10 < max(len(line.get_xdata()) for line in crosses) < 34


def test_of_many_runs_the_best_the_median_and_the_worst_are_named(many: Sweep) -> None:
    """7,500 of the 10,000 are usable, so the worst is the 7,500th."""
    usable = [run for run in many.runs if "loss_gap" in run.metrics]
    assert len(usable) == 7500
    expected = [
        f"best {usable[0].name}",
        f"median {usable[3749].name}",
        f"worst {usable[-1].name}",
    ]
    drawn = {run.run_id: many.curves[run.run_id] for run in sample(many.runs, 300)}
    bands = ["5 to 95 % of the usable runs", "25 to 75 % of the usable runs"]
    assert legend(loss_curves(many.runs, drawn))[:5] == expected + bands
    interval = ["95 % interval of the curve, in its colour"]
    assert legend(fits(many.runs, many.problem.pairs))[2:8] == expected + interval + bands


def test_few_runs_are_all_named_with_rank_and_look_of_their_own(readme: Sweep) -> None:
    figure = loss_curves(readme.runs, readme.curves)
    assert legend(figure)[:12] == [
        f"{rank} {run.name}" + (", diverged" if run.outcome == "diverged" else "")
        for rank, run in enumerate(readme.runs, start=1)
    ]
    assert set("12345678") <= set(texts(figure.axes[0]))  # at the lines themselves
    assert len({str(look) for look in styles(12)}) == 12


def test_runs_that_share_a_name_are_told_apart() -> None:
    """A name says what is not usual; what tells it from another is added."""
    single, double = (train((0.1, "zscore", 10), dtype=dtype) for dtype in ("float32", "float64"))
    runs = [single.runs[0], replace(double.runs[0], run_id="double")]
    figure = loss_curves(runs, {run.run_id: single.curves[single.runs[0].run_id] for run in runs})
    assert "1 lr=0.1 zscore 10 · dtype=float32" in legend(figure)
    assert "2 lr=0.1 zscore 10 dtype=float64" in legend(figure)


def test_axes_name_columns_and_units(readme: Sweep) -> None:
    figure = loss_curves(readme.runs, readme.curves, "°C²")
    assert [figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()] == ["epoch", "loss [°C²]"]
    above, below = fits(readme.runs, readme.problem.pairs).axes
    assert [above.get_ylabel(), below.get_ylabel(), below.get_xlabel()] == [
        "t_c [°C]",
        "residual [°C]",
        "t_u",
    ]
    assert loss_gap_map(readme.runs, "°C²").axes[1].get_ylabel() == "loss_gap [°C²]"


def test_a_run_has_one_colour_in_all_figures(readme: Sweep, models: Sweep) -> None:
    """Of one model and of two, of few runs and of many: what its label is, is drawn in one look."""
    for sweep in (readme, models):
        curves, fitted, _ = sweep.figures()
        looks = [
            {str(line.get_label()): (line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
            for figure in (curves, fitted)
        ]
        shared = [label for label in looks[0].keys() & looks[1].keys() if "  " in label]
        assert len(shared) >= 4
        assert all(looks[0][label] == looks[1][label] for label in shared)


def test_every_model_is_drawn_and_labelled(models: Sweep) -> None:
    """In the curves and the fits by its best run, in the map by its rows and a star.

    2.928 and 2.091 are the losses of numpy.polyfit(t_u, t_c, 1) and of 2.
    """
    curves, fitted, gaps = models.figures()
    for figure in (curves, fitted):
        wide = [str(line.get_label()) for line in figure.axes[0].lines if line.get_linewidth() == WIDE]
        assert len(wide) == 2
        assert any("linear" in label for label in wide)
        assert any("quadratic" in label for label in wide)
    assert {"exact optimum of linear, 2.93", "exact optimum of quadratic, 2.09"} <= set(legend(curves))
    rows = [label.get_text() for label in gaps.axes[0].get_yticklabels()]
    assert {row.split(" · ")[0] for row in rows} == {"linear", "quadratic"}
    stars = [line.get_xydata()[0] for line in with_marker(gaps.axes[0], "*")]
    assert sorted(rows[round(row)].split(" · ")[0] for _, row in stars) == ["linear", "quadratic"]


def test_nothing_leaves_its_frame(readme: Sweep, models: Sweep, many: Sweep) -> None:
    """No usable curve at its top, no residual cut in half, no star across an edge."""
    for sweep in (readme, models, many):
        curves, fitted, gaps = sweep.figures()
        low, high = curves.axes[0].get_ylim()
        for run in sweep.runs:
            if "loss_gap" in run.metrics:
                assert low < min(sweep.curves[run.run_id][1]) <= max(sweep.curves[run.run_id][1]) < high / 2
        fitted.draw_without_rendering()
        below = fitted.axes[1]
        for line in below.lines:
            if line.get_marker() in (*"Dos",):
                assert is_whole(below, line)
        gaps.draw_without_rendering()
        assert all(is_whole(gaps.axes[0], star) for star in with_marker(gaps.axes[0], "*"))


def test_a_star_at_the_edge_is_whole(many: Sweep) -> None:
    """The best of 10,000 rates may be the last that was tried: its cell is a thousandth of the frame."""
    usable = [run for run in many.runs if "loss_gap" in run.metrics]
    last = max(usable, key=lambda run: float(run.params["lr"]))
    runs = [last, *(run for run in usable if run is not last)]
    runs = [replace(run, metrics=run.metrics | {"lr_over_limit": 1e-3}) for run in runs]
    figure = loss_gap_map(runs)
    figure.draw_without_rendering()
    [star] = with_marker(figure.axes[0], "*")
    assert is_whole(figure.axes[0], star)


def is_whole(axes: Axes, line: Line2D) -> bool:
    """Whether each marker is in the frame, with its width."""
    frame, half = axes.get_window_extent(), line.get_markersize() / 2 * axes.figure.dpi / 72
    places = axes.transData.transform(np.asarray(line.get_xydata(), dtype=float))
    ends = [[frame.x0 + half, frame.y0 + half], [frame.x1 - half, frame.y1 - half]]
    return bool(((places > ends[0]) & (places < ends[1])).all())


def test_any_column_name_is_drawn_as_it_stands_and_cut(tmp_path: Path) -> None:
    """Dollars enclose a formula to matplotlib, here a wrong one; of a character it lacks it warns."""
    names = ["cost $^$ each", "温度" + " long" * 40]
    path = tmp_path / "odd.csv"
    path.write_text(f"{','.join(names)}\n1,2\n2,4.5\n3,6\n", "utf-8")
    data = {"path": str(path), "input": names[0], "target": names[1], "units": {names[1]: "$/元"}}
    sweep = train((0.1, "zscore", 10), data=data)
    for figure in sweep.figures():
        png(figure)
    above, below = fits(sweep.runs, sweep.problem.pairs).axes
    assert below.get_xlabel().replace("\\", "") == names[0]
    assert len(above.get_ylabel()) < 50


@pytest.mark.slow
def test_figures_drawn_in_threads_are_the_same(readme: Sweep) -> None:
    alone = [png(figure) for figure in readme.figures()]
    assert all(len(each) < 300_000 for each in alone)
    with ThreadPoolExecutor(2) as pool:
        together = pool.map(lambda _: [png(figure) for figure in readme.figures()], range(2))
    assert all(each == alone for each in together)
