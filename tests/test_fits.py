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
from tests.conftest import ROOT
from tests.test_figures import caption, legend, png, texts, train

pytestmark = pytest.mark.pictures

ORACLES: dict[str, Any] = json.loads((ROOT / "tests" / "oracles" / "statistics.json").read_text())
LINE = {"name": "linear", "start": {"w": 1, "b": 0}}
PARABOLA = {"name": "quadratic", "start": {"w2": 0, "w1": 1, "b": 0}}
CURVE = {"name": "exponential", "start": {"a": 9, "k": -0.25, "b": 2}}
INTERVAL = "95 % interval of the curve, in its colour"
Floats = np.ndarray[Any, np.dtype[np.float64]]


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
