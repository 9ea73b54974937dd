"""The path of a run over the loss: start, path and best fit lie in the frame, lines where the loss says.

Expected numbers are numpy's, on the chapter's data: the loss, and its least squares.
"""

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

from src.data import load
from src.fit.plan import Preparation
from src.fit.training import calibrate
from src.report.figures import _surface
from src.report.figures._surface import Surface, surface
from src.report.figures.loss_surface import Path, loss_surface
from src.settings import Settings
from src.tracking.record import TrackedRun
from src.tracking.recording import Call, of_result
from tests.conftest import ROOT
from tests.figures import NORMALIZATIONS, THERMOMETER, caption, legend, png

pytestmark = pytest.mark.pictures

DATA = np.loadtxt(ROOT / "data" / "thermometer.csv", delimiter=",", skiprows=1, usecols=(0, 1))
LINE = {"name": "linear", "start": {"w": 1, "b": 0}}
PARABOLA = {"name": "quadratic", "start": {"w2": 1, "w1": 1, "b": 0}}
RAY = {"name": "proportional", "start": {"w": 1}}
CURVE = {"name": "exponential", "start": {"a": 9, "k": 0.25, "b": 2}}
POWER = {"name": "power", "start": {"a": 1, "k": 1}}
Floats = np.ndarray[Any, np.dtype[np.float64]]


def single(lr: float, name: str, epochs: int, **others: object) -> tuple[Surface, Path]:
    """One run's, on its own, as a store would give them back."""
    common = {"dtype": "float64", "device": "cpu", "data": THERMOMETER, "model": LINE}
    common |= {"tracking": {"experiment": "figures"}, "normalization": NORMALIZATIONS[name]}
    settings = Settings.model_validate({**common, "lr": lr, "epochs": epochs, **others})
    ready = Preparation(load).prepare(settings)
    [result] = calibrate([ready])
    record = of_result(result, Call(0, 0))
    run = TrackedRun("a", record.name, record.status, record.params, record.metrics, record.tags)
    params = torch.tensor([*result.path.values()], dtype=torch.float64).T
    if result.trained:
        params = torch.vstack([params, torch.tensor([*result.trained.values()], dtype=torch.float64)])
    return surface(run, settings, ready.problem.pairs), Path(run, result.epochs, params)


def drawn(lr: float, name: str, epochs: int, **others: object) -> Figure:
    return loss_surface(*single(lr, name, epochs, **others), "°C²")


def marked(axes: Axes, marker: str) -> Floats:
    """Where a marker stands."""
    [line] = [line for line in axes.lines if line.get_marker() == marker and len(line.get_xydata()) == 1]
    return np.asarray(line.get_xydata())[0]


def path(axes: Axes) -> Floats:
    [line] = [line for line in axes.lines if line.get_marker() == "."]
    return np.asarray(line.get_xydata())


def is_inside(axes: Axes, points: Floats) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    low, high = np.transpose([axes.get_xlim(), axes.get_ylim()])
    return np.asarray(((points > low) & (points < high)).all(axis=-1))


def losses(params: Floats, t_un: Floats) -> Floats:
    """Of (P, K), polynomials with the highest power first."""
    return np.array([np.mean((np.polyval(each, t_un) - DATA[:, 1]) ** 2) for each in params])


def levels(axes: Axes) -> list[tuple[float, Floats]]:
    """What lies above the best fit, and the points of that line."""
    [lines] = [each for each in axes.collections if isinstance(each, ContourSet) and not each.filled]
    pairs = zip(lines.levels, lines.get_paths(), strict=True)
    return [(10**level, np.asarray(line.vertices)) for level, line in pairs if len(line.vertices)]


def test_the_whole_path_of_a_run_lies_in_the_frame() -> None:
    """From the chapter's start to its fit on 0.1 * t_u."""
    [axes] = drawn(1e-2, "scale", 5000).axes
    best = np.polyfit(0.1 * DATA[:, 0], DATA[:, 1], 1)
    assert marked(axes, "D") == pytest.approx(best, rel=1e-9)
    assert path(axes)[0] == pytest.approx([1, 0])
    assert path(axes)[-1] == pytest.approx(best, rel=1e-3)
    assert is_inside(axes, np.vstack([path(axes), best])).all()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("w", "b")


def test_lines_join_equal_losses() -> None:
    """As near as a grid of 64 by 64 interpolates: a few per cent, of those that are more than a few cells."""
    [axes] = drawn(1e-2, "scale", 5000).axes
    t_un = 0.1 * DATA[:, 0]
    least = losses(np.polyfit(t_un, DATA[:, 1], 1)[None], t_un)
    found = levels(axes)
    assert {1.0, 10.0, 100.0} <= {round(above, 9) for above, _ in found}
    for above, points in found:
        if above >= 1:
            assert losses(points, t_un) - least == pytest.approx(np.full(len(points), above), rel=0.1)


@pytest.mark.parametrize(("lr", "least", "most"), [(3.5e-4, 10, 20), (1e-2, 2, 2), (1.0, 1, 1)])
def test_a_diverging_path_is_shown_to_the_step_that_leaves(lr: float, least: int, most: int) -> None:
    """Start and best fit are in the frame however far the steps go.

    Beyond the limit of raw input, 3.39938e-4, a step multiplies the distance by `1 - 2 * lr / limit`: -1.06,
    -58 and -5882. Four times as much is there after 25 epochs, of which some are on record.
    """
    figure = drawn(lr, "none", 500)
    [axes] = figure.axes
    png(figure)
    assert is_inside(axes, np.array([marked(axes, "o"), marked(axes, "D")])).all()
    inside = is_inside(axes, path(axes))
    assert inside[0]
    assert inside[:-1].all()
    assert least <= inside.sum() <= most
    assert "the learning rate is too large" in caption(figure)


@pytest.mark.parametrize(("lr", "name"), [(1e-2, "none"), (3.5e-4, "none"), (1e-2, "scale")])
def test_lines_of_a_narrow_valley_are_where_they_belong(lr: float, name: str) -> None:
    """Within a factor of 1.4, though the valley is narrower than the grid: what is lower is not drawn."""
    [axes] = drawn(lr, name, 500).axes
    t_un = DATA[:, 0] * float(NORMALIZATIONS[name].get("factor", 1.0))
    least = losses(np.polyfit(t_un, DATA[:, 1], 1)[None], t_un)
    found = levels(axes)
    assert len(found) > 2
    for above, points in found:
        assert np.abs(np.log2((losses(points, t_un) - least) / above)).max() < 0.5


def test_three_parameters_are_cut_along_the_valley() -> None:
    """The extreme eigenvectors of X'X, by numpy; the loss in the plane is that of the parameters there."""
    over, descent = single(0.3, "zscore", 500, model=PARABOLA)
    t_un = (DATA[:, 0] - DATA[:, 0].mean()) / DATA[:, 0].std()
    design = np.vander(t_un, 3)
    best = np.polyfit(t_un, DATA[:, 1], 2)
    extremes = np.linalg.eigh(design.T @ design)[1][:, [-1, 0]].T
    directions = np.array([each / each[np.abs(each).argmax()] for each in extremes])
    points = np.array([[0.0, 0.0], [1.0, -2.0]])
    assert over.losses(points) == pytest.approx(losses(best + points @ directions, t_un), rel=1e-9)
    assert over.points(torch.from_numpy(best + points @ directions)) == pytest.approx(points, abs=1e-9)
    figure = loss_surface(over, descent)
    [axes] = figure.axes
    assert is_inside(axes, path(axes)).all()
    assert "Of 3 parameters a plane" in caption(figure)
    assert [axes.get_xlabel(), axes.get_ylabel()] == ["w2 + 0.48 b − 0.043 w1", "b − 0.49 w2 − 0.089 w1"]


def test_scaled_parameters_are_cut_as_descent_sees_them() -> None:
    """Their directions are at right angles in units of the scales, so a plane's point is its projection's."""
    over, descent = single(0.3, "scale", 50, model=PARABOLA, scaling="jacobian")
    points = np.array([[0.3, -2.0]])
    params = over.origin + torch.from_numpy(points) @ over.directions
    assert over.points(params) == pytest.approx(points)
    png(loss_surface(over, descent))


def test_of_one_parameter_the_curve() -> None:
    """The mean of squares at every w, and the path's points on it."""
    figure = drawn(1e-2, "scale", 500, model=RAY)
    [axes] = figure.axes
    curve = next(np.asarray(line.get_xydata()) for line in axes.lines if len(line.get_xydata()) == 400)
    for points in (curve, path(axes), marked(axes, "D")[None]):
        expected = losses(np.column_stack([points[:, 0], np.zeros(len(points))]), 0.1 * DATA[:, 0])
        assert points[:, 1] == pytest.approx(expected, rel=1e-6)
        assert is_inside(axes, points[1:-1]).all()
    assert axes.get_ylabel() == "loss [°C²]"


@pytest.mark.parametrize(("model", "name", "lr"), [(CURVE, "zscore", 1e-3), (POWER, "scale", 1e-4)])
def test_a_best_fit_in_raw_units_is_drawn_as_trained(model: dict[str, Any], name: str, lr: float) -> None:
    """Where it stands the loss is the best fit's on record."""
    over, descent = single(lr, name, 200, model=model)
    assert over.losses(over.best_point) == pytest.approx([descent.run.metrics["best_loss"]], rel=1e-6)
    png(loss_surface(over, descent))


def test_the_loss_is_the_one_that_was_trained(tmp_path: Any) -> None:
    """Of absolute errors, and of observations that count differently: the final loss, at the path's end."""
    rows = "\n".join(f"{x},{y},{1 + place % 3}" for place, (x, y) in enumerate(DATA))
    (tmp_path / "weighed.csv").write_text(f"t_u,t_c,s\n{rows}\n")
    weighed = {"path": str(tmp_path / "weighed.csv"), "input": "t_u", "target": "t_c", "sigma": "s"}
    for others in ({"loss": {"name": "mae"}}, {"data": weighed}):
        over, descent = single(1e-2, "scale", 100, **others)
        points = over.points(descent.params)
        assert over.losses(points)[-1] == pytest.approx(descent.run.metrics["final_loss"], rel=1e-9)
        png(loss_surface(over, descent))


def test_without_a_best_fit_the_path_is_drawn(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest difference has no best fit that the search finds, and so none is marked."""
    (tmp_path / "largest.py").write_text("def largest(t_p, t_c): return (t_p - t_c).abs().amax(dim=-1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    over, taken = single(1e-2, "zscore", 50, loss={"name": "largest.largest"})
    assert over.best is None
    figure = loss_surface(over, taken, "°C²")
    assert len(path(figure.axes[0])) > 2
    assert not [each for each in legend(figure) if "optimum" in each or "best" in each]


def test_of_very_many_observations_some_are_drawn(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their loss is near that of all, and the caption says so."""
    monkeypatch.setattr(_surface, "MOST_OBSERVATIONS", 2000)
    t_u = np.linspace(0, 10, 3 * 2000 - 1)
    rows = "\n".join(f"{x},{2 * x + np.sin(99 * x)}" for x in t_u)
    (tmp_path / "many.csv").write_text(f"t_u,t_c\n{rows}\n")
    data = {"path": str(tmp_path / "many.csv"), "input": "t_u", "target": "t_c"}
    over, descent = single(0.1, "zscore", 50, data=data)
    assert over.losses(over.best_point) == pytest.approx([descent.run.metrics["best_loss"]], rel=0.01)
    assert "that of 2,000 observations, evenly" in caption(loss_surface(over, descent))


def test_a_long_valley_is_explained() -> None:
    """The condition number of 0.1 * t_u is 357; of the z-score, whose axes are alike, there is no valley."""
    assert "360 times steeper across than along" in caption(drawn(1e-2, "scale", 500))
    assert "steeper across" not in caption(drawn(1e-2, "zscore", 500))
    assert legend(drawn(1e-2, "scale", 5000))[1:] == ["start", "end: loss 2.928", "exact optimum: loss 2.928"]
