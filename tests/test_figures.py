"""Figures say what they should at any number of runs, and hold what would spoil them at bay."""

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch import Tensor

from src.data import load
from src.fit.graph import trace
from src.fit.plan import Preparation, Problem
from src.fit.training import calibrate
from src.functions import parameter_names
from src.models import MODELS, linear
from src.report.comparison import Curve
from src.report.figures._canvas import styles
from src.report.figures._named import WIDE, sample
from src.report.figures.fits import fits
from src.report.figures.graph import autograd_graphs
from src.report.figures.loss_curves import loss_curves
from src.report.figures.loss_gap import loss_gap_map
from src.settings import Settings
from src.tracking.ranking import ranked
from src.tracking.record import Call, TrackedRun, of_result
from tests.conftest import ROOT

pytestmark = pytest.mark.pictures

# 2 / lambda_max, from the project's seed facts
LIMITS = {"none": 0.000339938, "scale": 0.0329782, "zscore": 1.0}
NORMALIZATIONS = {
    "none": {"name": "none"},
    "scale": {"name": "scale", "factor": 0.1},
    "zscore": {"name": "zscore"},
}
THERMOMETER = {
    "path": str(ROOT / "data" / "thermometer.csv"),
    "input": "t_u",
    "target": "t_c",
    "units": {"t_c": "°C"},
}
LINE = {"name": "linear", "start": {"w": 1, "b": 0}}
PARABOLA = {"name": "quadratic", "start": {"w2": 1, "w1": 1, "b": 0}}
README = [(lr, name, epochs) for lr in (1e-2, 1e-3) for name in NORMALIZATIONS for epochs in (500, 5000)]


@dataclass(frozen=True)
class Sweep:
    """Trained runs as a store would give them back, best first."""

    runs: list[TrackedRun]
    curves: dict[str, Curve]
    problem: Problem

    def figures(self) -> list[Figure]:
        return [
            loss_curves(self.runs, self.curves),
            fits(self.runs, self.problem.pairs),
            loss_gap_map(self.runs),
        ]


def train(*choices: tuple[float, str, int], **others: object) -> Sweep:
    """Runs of (lr, normalization, epochs); `others` replace settings of all."""
    bench = Preparation(load)
    common = {
        "dtype": "float32",
        "device": "cpu",
        "data": THERMOMETER,
        "model": LINE,
        "tracking": {"experiment": "figures"},
    }
    settings = [
        {**common, "lr": lr, "normalization": NORMALIZATIONS[name], "epochs": epochs, **others}
        for lr, name, epochs in choices
    ]
    ready = [bench.prepare(Settings.model_validate(each)) for each in settings]
    runs, curves = [], {}
    for place, calibration in enumerate(calibrate(ready)):
        record, run_id = of_result(calibration, Call(0, 0)), f"{place:032x}"
        metrics = {**record.metrics, "loss": calibration.losses[-1]}
        runs.append(TrackedRun(run_id, record.name, record.status, record.params, metrics, record.tags))
        curves[run_id] = calibration.epochs, calibration.losses
    return Sweep(ranked(runs), curves, ready[0].problem)


@pytest.fixture(scope="module")
def readme() -> Sweep:
    """The twelve runs of the README's sweep, four of them diverged."""
    return train(*README)


@pytest.fixture(scope="module")
def many(readme: Sweep) -> Sweep:
    """Ten thousand runs: copies of four, a little apart; half of them usable."""
    kinds = [readme.runs[place] for place in (1, 5, 7, 10)]
    runs, curves = [], {}
    for place in range(10_000):
        kind, rate = kinds[place % 4], 1e-4 * 1.001 ** (place // 4)
        metrics = {key: value * rate if key == "loss_gap" else value for key, value in kind.metrics.items()}
        run_id = f"{place:032x}"
        params = {**kind.params, "lr": repr(rate)}
        runs.append(replace(kind, run_id=run_id, name=f"run {place}", params=params, metrics=metrics))
        curves[run_id] = readme.curves[kind.run_id]
    return Sweep(ranked(runs), curves, readme.problem)


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


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def legend(figure: Figure) -> list[str]:
    return [" ".join(text.get_text().split()) for box in figure.legends for text in box.get_texts()]


def caption(figure: Figure) -> str:
    return " ".join(figure.get_supxlabel().split())


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def with_marker(axes: Axes, marker: str) -> list[Line2D]:
    return [line for line in axes.lines if line.get_marker() == marker]


def limit_lines(axes: Axes) -> list[float]:
    """The x of the vertical lines, from the top row down."""
    vertical = [np.asarray(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
    return [float(x[0]) for x in vertical if x[0] == x[1]]


# all figures


@pytest.mark.parametrize(
    "choices",
    [
        pytest.param([(1e-2, "scale", 5000)], id="one run"),
        pytest.param([(1e-2, "scale", 1)], id="one epoch"),
        pytest.param([(0.1, "none", 500)], id="one that diverges"),
        pytest.param([(0.1, "none", 500), (1.0, "none", 500)], id="all diverge"),
        pytest.param(README, id="twelve"),
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
    figure = loss_curves(readme.runs, readme.curves, "°C")
    assert [figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()] == ["epoch", "loss [°C²]"]
    above, below = fits(readme.runs, readme.problem.pairs).axes
    assert [above.get_ylabel(), below.get_ylabel(), below.get_xlabel()] == [
        "t_c [°C]",
        "residual [°C]",
        "t_u",
    ]
    assert loss_gap_map(readme.runs, "°C").axes[1].get_ylabel() == "loss_gap [°C²]"


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


def test_figures_drawn_in_threads_are_the_same(readme: Sweep) -> None:
    alone = [png(figure) for figure in readme.figures()]
    with ThreadPoolExecutor(2) as pool:
        together = pool.map(lambda _: [png(figure) for figure in readme.figures()], range(2))
    assert all(each == alone for each in together)


# loss curves


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


# fits


def test_residuals_of_the_best_run_and_of_the_optimum(readme: Sweep) -> None:
    """Truth minus `0.5367719 * t_u - 17.3047854`, the seed's exact fit.

    The best run's gap of 2.9e-07 is the mean square distance from it: none of eleven is beyond 1.8e-3.
    """
    t_u, t_c = readme.problem.pairs.t_u, readme.problem.pairs.t_c
    expected = t_c - (0.5367719 * t_u - 17.3047854)
    _, below = fits(readme.runs, readme.problem.pairs).axes
    drawn = {
        line.get_marker(): np.asarray(line.get_ydata()) for line in below.lines if line.get_marker() in "Do"
    }
    assert drawn["D"] == pytest.approx(expected, abs=1e-5)
    assert drawn["o"] == pytest.approx(expected, abs=1.8e-3)


def test_a_fit_far_off_does_not_spoil_the_range(readme: Sweep) -> None:
    """As far as a usable run can be: its loss gap, the square of that, is a number still."""
    far = replace(readme.runs[1], metrics={**readme.runs[1].metrics, "trained_w": 1e150, "trained_b": 1e152})
    near = fits(readme.runs[:2], readme.problem.pairs).axes[0].get_ylim()
    for runs in ([readme.runs[0], far], [readme.runs[0]] * 5 + [far] * 15):
        figure = fits(runs, readme.problem.pairs)
        png(figure)
        assert figure.axes[0].get_ylim() == near
        assert any(label.endswith("lr=0.001 zscore 5000 (outside)") for label in legend(figure))


def test_residuals_beyond_the_datas_own_range_are_arrows(readme: Sweep) -> None:
    """From -4 to 28 °C: a best run that is worse is none, and would flatten the optimum's."""
    far = replace(readme.runs[1], metrics={**readme.runs[1].metrics, "trained_b": 1e6})
    figure = fits([far], readme.problem.pairs)
    low, high = figure.axes[1].get_ylim()
    assert low == pytest.approx(-32, rel=0.2)
    assert 2 < high < 10
    [arrows] = with_marker(figure.axes[1], "v")
    assert len(arrows.get_xdata()) == 11
    assert "residuals beyond the frame" in legend(figure)


def test_where_all_diverge_the_data_and_the_optimum_remain() -> None:
    sweep = train((0.1, "none", 500), (1.0, "none", 500))
    figure = fits(sweep.runs, sweep.problem.pairs)
    assert legend(figure) == ["data", "exact optimum", "residuals of the optimum, RMS 1.711 °C"]
    assert "2 runs. 2 diverged or ended without a result" in caption(figure)


def test_a_parabola_is_drawn_as_one() -> None:
    sweep = train((0.3, "zscore", 5000), model={"name": "quadratic", "start": {"w2": 0, "w1": 1, "b": 0}})
    above, _ = fits(sweep.runs, sweep.problem.pairs).axes
    curves = [np.asarray(line.get_ydata()) for line in above.lines if len(line.get_xdata()) > 50]
    assert len(curves) == 2
    assert curves[0] == pytest.approx(curves[1], abs=1e-3)  # the optimum's and the converged run's
    assert np.ptp(np.diff(curves[0], n=2)) < 1e-9 < np.diff(curves[0], n=2).min()


# the map of the loss gap


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


# the autograd graph


@pytest.mark.parametrize("model", MODELS)
def test_the_graphs_boxes_do_not_overlap(model: str, t_u: Tensor, t_c: Tensor) -> None:
    graph = trace(MODELS[model], t_u, t_c, dict.fromkeys(parameter_names(MODELS[model]), 1))
    figure = autograd_graphs({model: graph})
    figure.draw_without_rendering()
    boxes = [
        patch.get_window_extent() for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)
    ]
    assert len(boxes) == len(graph.nodes)
    assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place])
    inside = [
        box for text in figure.axes[0].texts for box in boxes if box.contains(*text.get_window_extent().p0)
    ]
    assert len(inside) == len(figure.axes[0].texts)


def test_the_graph_shows_values_and_gradients_and_both_ways(t_u: Tensor, t_c: Tensor) -> None:
    """The chapter's gradient at [1, 0]; nine arrows, and all but those from data have one back."""
    axes = autograd_graphs({"linear": trace(linear, t_u, t_c, {"w": 1, "b": 0})}).axes[0]
    assert {"w = 1", "grad = 4517.3", "b = 0", "grad = 82.6", "loss = 1763.88"} <= set(texts(axes))
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    dashed = [arrow for arrow in arrows if arrow.get_linestyle() not in ("-", "solid")]
    assert (len(arrows) - len(dashed), len(dashed)) == (9, 7)
