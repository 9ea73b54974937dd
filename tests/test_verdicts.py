"""What is said of a run, over random problems, against the same in a hundred digits.

The exact fit is found by another way: Newton's steps with derivatives written by hand, in mpmath; for a
polynomial under squares these are the normal equations.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, log10, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mpmath import mp, mpf

from src.config import ConfigError
from src.data import load
from src.fit.plan import Preparation, Run
from src.fit.result import GROWN, Result
from src.fit.training import calibrate
from src.functions import parameter_names
from src.models import MODELS
from src.normalization import NORMALIZATIONS
from src.settings import Settings

mp.dps = 100  # a parabola over readings at 1e9 that differ by 1e-6 loses sixty of them
EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
EXACT = {"float32": 4, "float64": 16}  # as near as the arithmetic resolves the targets, times so much
GRID = 65  # points of a range
LONGEST = 1_000  # epochs of a run that advice is tried with
LENGTHS = *3 * (2, 3, 4, 5, 8, 12, 12, 12, 30, 30), 200, 1000


def problem(seed: int, folder: Path) -> dict[str, Any]:
    """Settings of a random problem, with the part of the limit that is its rate, and the data they name."""
    rng = np.random.default_rng(seed)

    def ten_to(low: float, high: float) -> float:
        return float(10 ** rng.uniform(low, high))

    def offset() -> float:
        return float(rng.choice([0, 1, -1])) * ten_to(-3, 9)

    model = str(rng.choice(["linear", "quadratic", "exponential"], p=[0.45, 0.45, 0.1]))
    names = parameter_names(MODELS[model])
    n = int(rng.choice([length for length in LENGTHS if length >= len(names)]))
    u, truth = np.sort(rng.uniform(0, 1, n)), rng.normal(0, 1, len(names))
    noise, spread, below = rng.choice([0, ten_to(-9, 0)], p=[0.15, 0.85]), ten_to(-6, 6), offset()
    shape = truth[0] * np.exp(2 * truth[1] * u) if model == "exponential" else np.polyval(truth, u)
    y = below + spread * (shape + noise * rng.normal(size=n))
    how = str(rng.choice(["none", "scale", "zscore", "minmax"], p=[0.15, 0.15, 0.35, 0.35]))
    x = ten_to(-6, 6) * u
    if model != "exponential" or how in ("zscore", "minmax"):
        x = x + offset()
    path = folder / f"{seed}.csv"
    pd.DataFrame({"x": x, "y": y}).to_csv(path, index=False)
    start = [1.0, 1.0, 1.0] if rng.random() < 0.5 else [spread, float(rng.normal()), float(y.mean())]
    normalization = {"name": how} | ({"factor": ten_to(-2, 1)} if how == "scale" else {})
    if model == "exponential":  # from afar its search for the best fit takes seconds
        fitted = NORMALIZATIONS[how](torch.tensor(x), *list(normalization.values())[1:])
        low, high = fitted.apply(torch.tensor(x[[0, -1]]), torch.float64).tolist()
        rate = 2 * truth[1] * (u[-1] - u[0]) / (high - low)
        near = [spread * truth[0] * np.exp(2 * truth[1] * u[0] - rate * low), rate, below]
        start = [float(each * (1 + 0.1 * rng.normal())) for each in near]
    # not below the targets' rounding, where it would be absolute errors; by decades, that some train together
    delta = 10.0 ** round(log10(max(spread * (noise or 1), 1e-13 * abs(below))))
    return {
        "epochs": round(max(ten_to(0, log10(5000)), ten_to(0, log10(5000)))),
        "dtype": str(rng.choice(["float32", "float64"])),
        "device": "cpu",
        "tracking": {"experiment": "verdicts"},
        "data": {"path": str(path), "input": "x", "target": "y"},
        "model": {"name": model, "start": dict(zip(names, start[-len(names) :], strict=True))},
        "loss": {"name": "huber", "delta": delta} if rng.random() < 0.12 else {"name": "mse"},
        "normalization": normalization,
        "part": [ten_to(-6, 1), rng.uniform(0.1, 1), rng.uniform(0.9, 1.1)][rng.choice(3, p=[0.3, 0.5, 0.2])],
    }


def prepared(seeds: Sequence[int], folder: Path) -> tuple[list[Run], list[str]]:
    """Runs that are ready, and why others are refused."""
    runs, refused = [], []
    for seed in seeds:
        settings, preparation = problem(seed, folder), Preparation(load)
        part = settings.pop("part")
        try:
            limit = preparation.prepare(Settings.model_validate(settings | {"lr": 1})).limit
            rate = part * limit if 0 < limit < inf else part
            runs.append(preparation.prepare(Settings.model_validate(settings | {"lr": rate})))
        except ConfigError as error:
            refused.append(str(error))
    return runs, refused


@dataclass(frozen=True)
class Exact:
    """A run's problem in a hundred digits; parameters (K,) as trained."""

    run: Run

    @cached_property
    def t_u(self) -> np.ndarray:
        return _precise(self.run.problem.t_u.tolist())

    @cached_property
    def t_c(self) -> np.ndarray:
        return _precise(self.run.problem.t_c.tolist())

    @cached_property
    def t_un(self) -> np.ndarray:
        return (self.t_u - self.run.input.fitted.shift) * mpf(self.run.input.fitted.scale)

    def predict(self, t_u: np.ndarray, params: np.ndarray) -> np.ndarray:
        """(N,), (K,) -> (N,)."""
        return self._slopes(t_u, params)[0]

    def _slopes(self, t_u: np.ndarray, params: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Predictions (N,), by parameters (K, N), and twice so (K, K, N)."""
        bends = np.zeros((len(params), len(params), len(t_u)), dtype=object)
        if self.run.settings.model.name != "exponential":
            columns = np.stack([t_u * t_u, t_u, np.ones_like(t_u)][-len(params) :])
            return params @ columns, columns, bends
        a, k, b = params
        grown = np.array([mp.exp(k * each) for each in t_u])
        bends[0, 1] = bends[1, 0] = t_u * grown
        bends[1, 1] = a * t_u**2 * grown
        return a * grown + b, np.stack([grown, a * t_u * grown, np.full(len(t_u), mpf(1))]), bends

    def losses(self, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of predictions (N,), each one's loss, its slope and its second derivative, (N,)."""
        errors = predicted - self.t_c
        if self.run.settings.loss.name == "mse":
            return errors * errors, 2 * errors, np.full(len(errors), mpf(2))
        delta = mpf(self.run.settings.loss.delta)  # type: ignore[attr-defined]
        within = np.clip(errors, -delta, delta)
        return within * (errors - within / 2), within, np.array([mpf(abs(e) <= delta) for e in errors])

    def loss(self, predicted: np.ndarray) -> Any:
        """Their mean loss."""
        return self.losses(predicted)[0].mean()

    @cached_property
    def best(self) -> np.ndarray:
        """The exact fit (K,): from where the project's own says that it is, and one or two steps further."""
        params, largest = self._start, abs(self.t_c).max()
        for _ in range(40):
            predicted, slopes, twice = self._slopes(self.t_un, params)
            _, psi, bends = self.losses(predicted)
            hessian = (slopes * bends) @ slopes.T + twice @ psi
            step = _solved(hessian, -slopes @ psi)
            params = params + step
            if abs(step @ slopes).max() <= mpf(10) ** -25 * largest:
                return params
        raise ArithmeticError("Newton's steps do not settle")

    @cached_property
    def _start(self) -> np.ndarray:
        """The project's own fit; a polynomial's from its predictions, which hold more digits."""
        yardstick = self.run.input.yardstick
        params = _precise(yardstick.trained_params.tolist())
        if self.run.settings.model.name == "exponential":
            return params
        columns = self._slopes(self.t_un, params)[1]
        return _solved(columns @ columns.T, columns @ _precise(yardstick.predictions.tolist()))

    @cached_property
    def allowed(self) -> float:
        """The mean square distance from the exact fit's predictions within which a run has converged."""
        best = self.predict(self.t_un, self.best)
        errors = best - self.t_c
        n, k, largest = len(errors), len(self.best), float(abs(self.t_c).max())
        resolved = {dtype: (EXACT[dtype] * EPS[dtype] * largest) ** 2 for dtype in EPS}
        if n == k or abs(errors).max() < 64 * EPS["float64"] * largest:
            return resolved[self.run.settings.dtype]
        _, psi, bends = self.losses(best)
        deviation = float(1e-4 * k / n * (psi**2).sum() / (n - k) / bends.mean() ** 2)
        return max(deviation, resolved["float64"])  # nearer than that nothing is measured

    def training_error(self, params: np.ndarray) -> tuple[float, float]:
        """The largest distance from the exact fit on a grid, in standard uncertainties of its curve.

        And how far rounding to float64 may move it.
        """
        best, slopes, _ = self._slopes(self.t_un, self.best)
        n, k = len(best), len(self.best)
        _, psi, bends = self.losses(best)
        variance = (psi**2).sum() / (n - k) / bends.mean() ** 2
        grid = _precise(np.linspace(float(self.t_un.min()), float(self.t_un.max()), GRID).tolist())
        there, by_params, _ = self._slopes(grid, self.best)
        spread = [mp.sqrt(variance * (each @ _solved(slopes @ slopes.T, each))) for each in by_params.T]
        apart = abs(self.predict(grid, params) - there) / np.array(spread)
        noise = 16 * EPS["float64"] * abs(self.t_c).max() / min(spread)
        return float(apart.max()), float(noise)

    def rounding(self, params: np.ndarray) -> float:
        """How far a loss in float64 may be from the exact one: its terms are rounded."""
        predicted, slopes, _ = self._slopes(self.t_un, params)
        losses, psi, bends = self.losses(predicted)
        terms = 16 * mpf(EPS["float64"]) * (abs(slopes.T * params).sum(axis=1) + abs(self.t_c))
        return float((abs(psi) * terms + bends * terms**2 + mpf(1e-13) * losses).mean())


def _solved(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(K, K), (K,) -> (K,)."""
    return np.array(mp.lu_solve(mp.matrix(matrix.tolist()), mp.matrix(right.tolist())))


def _precise(values: Sequence[float]) -> np.ndarray:
    return np.array([mpf(value) for value in values])


def faults(result: Result) -> Iterator[str]:
    """What is not so of a run that did not diverge."""
    exact = Exact(result.run)
    trained = _precise(list(result.trained.values()))
    predicted = exact.predict(exact.t_un, trained)
    final, noise = exact.loss(predicted), exact.rounding(trained)
    if abs(final - result.final_loss) > noise:
        yield f"final_loss {result.final_loss} is {float(final)} +- {noise}"
    if result.raw:
        raw = exact.predict(exact.t_u, _precise(list(result.raw.values())))
        if (apart := float(abs(raw - predicted).max() / abs(predicted).max())) > 1e-9:
            yield f"raw parameters predict otherwise, by {apart}"
    if not result.run.input.yardstick.fit.settled:
        return
    best = exact.predict(exact.t_un, exact.best)
    if result.loss_gap is not None:
        gap, noise = final - exact.loss(best), noise + exact.rounding(exact.best)
        if abs(gap - result.loss_gap) > noise:
            yield f"loss_gap {result.loss_gap} is {float(gap)} +- {noise}"
    distance = float(((predicted - best) ** 2).mean())
    yield from _of_training_error(result, exact, trained)
    if result.outcome == "converged" and not distance <= 1.01 * exact.allowed:
        yield f"converged at {distance} where {exact.allowed} is allowed"
    if result.outcome == "stopped" and distance < 0.99 * exact.allowed:
        yield f"stopped at {distance} where {exact.allowed} is allowed"


def _of_training_error(result: Result, exact: Exact, trained: np.ndarray) -> Iterator[str]:
    said = result.training_error
    if said is None:
        return
    if result.outcome == "converged" and not said <= 0.01001 * sqrt(len(trained)):
        yield f"converged with a training error of {said}"
    error, noise = exact.training_error(trained)
    if not 0.999 * error - noise <= said <= 1.02 * error + noise:
        yield f"training_error {said} is {error} +- {noise}"


def returns(diverged: Result, longer: Result) -> str:
    """What is not so of a run that diverged, whose loss is followed for longer and in float64."""
    if longer.diverged_at or not diverged.losses:
        return ""  # of none: out of the range of float32 in the first epoch, whatever float64 makes of it
    last = max(longer.losses[-3:])  # of a run that swings from side to side every second loss is the lower
    left = diverged.losses[-1]
    least = min(left, GROWN * diverged.losses[0]) if may_turn(diverged) else left
    return f"diverged at {left}, then back at {last}" if last < 0.9 * least else ""


def may_turn(diverged: Result) -> bool:
    """Whether a loss tenfold the first may yet fall: one that stayed finite and is not quadratic.

    A step much too long throws a curve onto a plateau, down which it creeps: it has come back where it is
    under tenfold again after as many epochs more.
    """
    return not diverged.diverged_at and not is_quadratic(diverged.run)


def longer(diverged: Result) -> Run:
    """The same from its start, longer and in float64."""
    epochs = diverged.run.settings.epochs
    more = {"dtype": "float64", "epochs": 2 * epochs if may_turn(diverged) else 3 * epochs + 300}
    return Preparation(load).prepare(diverged.run.settings.model_copy(update=more))


def with_epochs(stopped: Result) -> Run:
    """The same, with as many epochs as are said to be enough."""
    enough = int(stopped.outlook.partition(" epochs are enough")[0].replace(",", ""))
    return Preparation(load).prepare(stopped.run.settings.model_copy(update={"epochs": enough}))


def about(run: Run) -> str:
    return f"{Path(run.settings.data.path).stem}, {run.lr_over_limit:g} times the limit: {run.settings}"


def wrongs(results: Sequence[Result]) -> Iterator[str]:
    """What is not so of runs: whichever each is called, it is that."""
    diverged = [result for result in results if result.outcome == "diverged"]
    for result in results:
        if result.outcome != "diverged":
            yield from (f"{fault}: {about(result.run)}" for fault in faults(result))
    for result, more in zip(diverged, calibrate([longer(each) for each in diverged]), strict=True):
        if fault := returns(result, more):
            yield f"{fault}: {about(result.run)}"
    advised = [with_epochs(result) for result in results if "enough" in result.outlook]
    for result in calibrate([run for run in advised if run.settings.epochs <= LONGEST]):
        if result.outcome != "converged":
            yield f"its epochs are not enough: {about(result.run)}"
    for run in (result.run for result in diverged):
        if run.lr_over_limit < 1 and run.settings.dtype == "float64" and is_quadratic(run):
            yield f"diverged below the limit: {about(run)}"


@pytest.mark.parametrize("count", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_every_verdict(count: int, tmp_path: Path) -> None:
    """Converged is near the exact fit, diverged does not come back, what is said to be enough is."""
    runs, _ = prepared(range(count), tmp_path)
    results = calibrate(runs)
    assert not (wrong := list(wrongs(results))), "\n".join(wrong)
    assert min(Counter(result.outcome for result in results).values()) > count / 20, "of each outcome some"


def is_quadratic(run: Run) -> bool:
    """Whether its loss is, in the parameters."""
    return run.settings.loss.name == "mse" and run.settings.model.name != "exponential"


def test_a_first_loss_of_zero(tmp_path: Path) -> None:
    """To float32 targets of 1e9 that differ by less than 64 are alike: nothing grew from there."""
    u = np.linspace(0, 1, 12)
    pd.DataFrame({"x": u, "y": 1e9 + u + 0.1 * (-1) ** np.arange(12)}).to_csv(tmp_path / "y.csv", index=False)
    settings = {
        "lr": 0.1,
        "epochs": 100,
        "dtype": "float32",
        "device": "cpu",
        "normalization": {"name": "zscore"},
        "model": {"name": "linear", "start": {"w": 1.5, "b": 1e9}},
        "data": {"path": str(tmp_path / "y.csv"), "input": "x", "target": "y"},
        "tracking": {"experiment": "verdicts"},
    }
    [result] = calibrate([Preparation(load).prepare(Settings.model_validate(settings))])
    assert (result.losses[0], result.outcome) == (0, "stopped")
