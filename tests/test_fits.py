"""Fits of several models in one figure, each with the interval of its curve.

Source of tests/oracles/statistics.json: mpmath, independent of this project; its first key defines each name.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from src.report.figures._canvas import COLOURS
from src.report.figures._named import WIDE
from src.report.figures.fits import fits
from src.tracking.ranking import ranked
from src.tracking.record import TrackedRun
from tests import figures
from tests.conftest import ROOT
from tests.figures import (
    LINE,
    Sweep,
    caption,
    legend,
    png,
    texts,
    train,
    with_marker,
)

pytestmark = pytest.mark.pictures

ORACLES: dict[str, Any] = json.loads((ROOT / "tests" / "oracles" / "statistics.json").read_text())
PARABOLA = {"name": "quadratic", "start": {"w2": 0, "w1": 1, "b": 0}}
CURVE = {"name": "exponential", "start": {"a": 9, "k": -0.25, "b": 2}}
INTERVAL = "95 % interval of the curve, in its colour"
Floats = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture(scope="module")
def readme() -> Sweep:
    return figures.readme()


def sweep(*choices: tuple[float, str, int]) -> tuple[list[TrackedRun], Figure]:
    """Runs of a line and of a parabola on the thermometer, ranked, and their figure."""
    parts = [train(*choices, model=model) for model in (LINE, PARABOLA)]
    runs = [replace(run, run_id=f"{run.params['model']}-{run.run_id}") for part in parts for run in part.runs]
    runs = ranked(runs)
    return runs, fits(runs, parts[0].problem.pairs)


def intervals(axes: Axes) -> list[tuple[str, Floats, Floats, Floats]]:
    """The colour of each, the readings where it is drawn, and its ends there."""
    found = []
    for drawn in axes.collections:
        vertices = np.asarray(drawn.get_paths()[0].vertices)
        x = np.unique(vertices[:, 0])
        ends = [vertices[vertices[:, 0] == each, 1] for each in x]
        low, high = (np.array([extreme(each) for each in ends]) for extreme in (np.min, np.max))
        found.append((to_hex(drawn.get_facecolor()[0]).upper(), x, low, high))  # type: ignore[index]
    return found


@pytest.mark.parametrize(
    ("known", "model", "choice"),
    [
        ("thermometer, linear", LINE, (0.3, "zscore", 300)),
        ("thermometer, quadratic", PARABOLA, (0.3, "zscore", 3000)),
        ("exponential, made data", CURVE, (0.5, "scale", 5000)),
    ],
)
def test_intervals_are_the_curves(
    known: str, model: dict[str, Any], choice: tuple[float, str, int], tmp_path: Path
) -> None:
    """Of a polynomial and of any function: as worked out at 100 digits, as near as a grid of 200 shows it."""
    others: dict[str, Any] = {"dtype": "float64", "model": model}
    if data := ORACLES[known].get("data"):
        rows = [f"{x},{y}" for x, y in zip(data["x"], data["y"], strict=True)]
        (tmp_path / "made.csv").write_text("\n".join(["x,y", *rows]) + "\n")
        others |= {"data": {"path": str(tmp_path / "made.csv"), "input": "x", "target": "y"}}
        others |= {"scaling": "jacobian"}
    trained = train(choice, **others)
    figure = fits(trained.runs, trained.problem.pairs)
    assert INTERVAL in legend(figure)
    [(_, x, low, high)] = intervals(figure.axes[0])
    within = [each for each in ORACLES[known]["predictions"] if x[0] <= float(each["at"]) <= x[-1]]
    assert len(within) > 1
    for each in within:
        ends = [float(end) for end in each["interval_mean_95"]]
        assert [np.interp(float(each["at"]), x, end) for end in (low, high)] == pytest.approx(
            ends, abs=2e-3 * (ends[1] - ends[0])
        )


def test_the_best_of_every_model() -> None:
    """Each with a wide line, an interval and residuals, all in its colour; RMS from the residual sd there."""
    runs, figure = sweep((0.1, "zscore", 500), (0.05, "zscore", 500), (0.01, "zscore", 100))
    best = [next(run for run in runs if run.params["model"] == model) for model in ("linear", "quadratic")]
    above, below = figure.axes
    wide = [line for line in above.lines if line.get_linewidth() == WIDE]
    assert [str(line.get_label()).split()[0] for line in wide] == [str(runs.index(run) + 1) for run in best]
    colours = [str(line.get_color()) for line in wide]
    assert [colour for colour, *_ in intervals(above)] == colours
    marked = [line for line in below.lines if line.get_marker() in "os"]
    assert [line.get_color() for line in marked] == colours
    for line, model, free in zip(marked, ("linear", "quadratic"), (9, 8), strict=True):
        rms = float(ORACLES[f"thermometer, {model}"]["residual_sd"]) * np.sqrt(free / 11)
        assert np.sqrt(np.mean(np.square(line.get_ydata()))) == pytest.approx(rms, rel=1e-4)
        assert f"residuals of {model}, RMS {rms:.4g} °C" in legend(figure)
    assert "of the best run of each model" in caption(figure)


def test_a_colour_for_each_model() -> None:
    """However far apart they are in the ranking: of twelve runs two share a colour, but not the best two."""
    _, figure = sweep(*[(lr, "zscore", epochs) for lr in (0.1, 0.05, 0.03) for epochs in (2000, 3000)])
    assert {"1", "7"} <= set(texts(figure.axes[0]))
    assert [colour for colour, *_ in intervals(figure.axes[0])] == list(COLOURS[:2])


def test_of_many_the_best_of_every_model() -> None:
    """Beside the best, the median and the worst of all, by its rank."""
    runs, figure = sweep(*[(lr, "zscore", 100) for lr in np.geomspace(1e-3, 0.2, 15)])
    rank = 1 + [run.params["model"] for run in runs].index("quadratic")
    labels = legend(figure)
    assert [label.split()[0] for label in labels[1:5]] == ["best", "median", "worst", str(rank)]
    assert labels[4].startswith(f"{rank} {runs[rank - 1].name}")
    assert len(png(figure)) < 300_000


def test_no_interval_of_what_is_not_trained() -> None:
    """A run that is far from its best fit does not know how well that is known."""
    trained = train((1e-3, "zscore", 100))
    figure = fits(trained.runs, trained.problem.pairs)
    assert INTERVAL not in legend(figure)
    assert not intervals(figure.axes[0])


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
    sweep = train((0.3, "zscore", 5000), model=PARABOLA)
    above, _ = fits(sweep.runs, sweep.problem.pairs).axes
    curves = [np.asarray(line.get_ydata()) for line in above.lines if len(line.get_xdata()) > 50]
    assert len(curves) == 2
    assert curves[0] == pytest.approx(curves[1], abs=1e-3)  # the optimum's and the converged run's
    assert np.ptp(np.diff(curves[0], n=2)) < 1e-9 < np.diff(curves[0], n=2).min()
