"""200 random lines and parabolas, weighted or not, at offsets to a million, judged by others.

By statsmodels on shifted data, where nothing that is judged changes; raw parameters by mpmath with 60 digits,
for at such offsets float64 leaves statsmodels few.
"""

import mpmath
import numpy as np
import numpy.typing as npt
import pytest
import statsmodels.api as sm
import torch
from statsmodels.stats.outliers_influence import OLSInfluence

from src.diagnostics.fitted import Fitted
from src.diagnostics.influence import columns
from src.fit.uncertainty import Uncertainty
from src.fit.weights import EQUAL, Weights
from src.fit.yardstick import yardstick
from src.losses import mse
from src.models import MODELS
from src.normalization import NORMALIZATIONS
from src.tracking.band import Wanted, band
from src.tracking.curve import Curve

Floats = npt.NDArray[np.float64]
DIGITS = 60
QUICK = 15  # of them in the default run
NUMBERED = pytest.mark.parametrize(
    "number", [pytest.param(each, marks=[pytest.mark.slow] * (each >= QUICK)) for each in range(200)]
)


class Problem:
    """A random one, by its number."""

    def __init__(self, number: int) -> None:
        rng = np.random.default_rng([18, number])
        self.k = int(rng.integers(2, 4))
        n = int(rng.integers(self.k + 3, 40))
        offset, span = 10 ** rng.uniform(0, 6), 10 ** rng.uniform(-1, 3)
        # readings that float64 holds exactly, also less their mean
        self.t_u = np.round(rng.choice([-1, 1]) * offset) + np.round(rng.uniform(0, span, n) * 1024) / 1024
        inner = (self.t_u - self.t_u.mean()) / span
        self.t_c = np.polyval(rng.normal(0, 10, self.k), inner) + rng.normal(0, 10 ** rng.uniform(-2, 1), n)
        self.sigma = rng.uniform(0.5, 3, n) if rng.random() < 0.5 else None
        self.is_absolute = self.sigma is not None and rng.random() < 0.5
        self.normalization = str(rng.choice(["zscore", "minmax"]))

    @property
    def found(self) -> Uncertainty:
        t_u, t_c = torch.from_numpy(self.t_u), torch.from_numpy(self.t_c)
        model = MODELS[{2: "linear", 3: "quadratic"}[self.k]]
        fitted, start = NORMALIZATIONS[self.normalization](t_u), torch.zeros(self.k, dtype=torch.float64)
        weights = EQUAL
        if self.sigma is not None:
            root = torch.from_numpy(1 / self.sigma)
            mean = float(root.square().mean().sqrt())
            weights = Weights(root / mean, 1 / mean, self.is_absolute)
        return Uncertainty(yardstick(model, mse, fitted, t_u, t_c, start, weights=weights))

    @property
    def shifted(self) -> Floats:
        return self.t_u - np.round(self.t_u.mean())

    def design(self, shifted: Floats) -> Floats:
        return np.vander(shifted, self.k)

    @property
    def influence(self) -> OLSInfluence:
        """Of the whitened problem."""
        root = 1.0 if self.sigma is None else 1 / self.sigma
        design = (np.ones_like(self.t_c) * root)[:, None] * self.design(self.shifted)
        return OLSInfluence(sm.OLS(self.t_c * root, design).fit())

    @property
    def judged(self) -> "sm.regression.linear_model.RegressionResults":
        weights = 1.0 if self.sigma is None else 1 / self.sigma**2
        model = sm.WLS(self.t_c, self.design(self.shifted), weights=weights)
        return model.fit(cov_type="fixed scale") if self.is_absolute else model.fit()


def near(found: object, want: object) -> None:
    """To 1e-8 of the largest of its kind."""
    found, want = np.atleast_1d(np.asarray(found, float)), np.atleast_1d(np.asarray(want, float))
    np.testing.assert_allclose(found, want, rtol=0, atol=1e-8 * abs(want).max())


def raw(problem: Problem) -> tuple[Floats, Floats]:
    """Parameters and standard errors in raw units, by the normal equations with 60 digits."""
    with mpmath.workdps(DIGITS):
        powers = range(problem.k - 1, -1, -1)
        x = mpmath.matrix([[mpmath.mpf(value) ** power for power in powers] for value in problem.t_u])
        y = mpmath.matrix([mpmath.mpf(value) for value in problem.t_c])
        sigma = np.ones(len(y)) if problem.sigma is None else problem.sigma
        weights = mpmath.diag([1 / mpmath.mpf(value) ** 2 for value in sigma])
        inverse = (x.T * weights * x) ** -1
        params = inverse * x.T * weights * y
        left = y - x * params
        variance = (left.T * weights * left)[0] / (len(y) - problem.k)
        scale = 1 if problem.is_absolute else variance
        errors = [mpmath.sqrt(scale * inverse[each, each]) for each in range(problem.k)]
        return np.array([float(each) for each in params]), np.array([float(each) for each in errors])


@NUMBERED
def test_random_fits(number: int) -> None:
    """Parameters and standard errors in raw units, R², AICc, leave-one-out, influence, intervals."""
    problem = Problem(number)
    found, judged = problem.found, problem.judged
    params, errors = raw(problem)
    in_raw_units = found.raw_errors
    assert in_raw_units is not None
    np.testing.assert_allclose(in_raw_units, errors, rtol=1e-8)
    predicted = np.polyval(params - found.of.raw_params.numpy(), problem.t_u)
    if found.of.raw_params.isfinite().all():  # else raw parameters would lose digits, and are absent
        assert abs(predicted).max() <= 1e-8 * np.ptp(problem.t_c) + 1e-9 * abs(problem.t_c).max()
    near(found.r2, judged.rsquared)
    influence = problem.influence
    left_out = judged.resid / (1 - influence.hat_matrix_diag)
    weights = np.ones(len(left_out)) if problem.sigma is None else 1 / problem.sigma**2
    near(found.loo_rmse, np.sqrt((weights * left_out**2).sum() / weights.sum()))
    n, p = len(problem.t_u), problem.k + 1
    squares = float((weights * judged.resid**2).sum())
    if problem.is_absolute:
        near(found.aicc, squares + 2 * problem.k)
    else:
        scatter = -np.log(weights).sum()
        near(found.aicc, n * np.log(squares / n) + scatter + 2 * p + 2 * p * (p + 1) / (n - p - 1))


@NUMBERED
def test_influence_of_random_fits(number: int) -> None:
    """Leverages, studentized residuals and Cook's distances."""
    problem = Problem(number)
    found, judged = problem.found, problem.judged
    fit = Fitted(
        problem.t_u,
        problem.t_c,
        found.of.predictions.numpy(),
        problem.design(problem.shifted),
        np.arange(len(problem.t_u)),
        "any",
        is_polynomial=True,
        input="x",
        target="y",
        root=None if problem.sigma is None else 1 / problem.sigma,
        is_absolute=problem.is_absolute,
    )
    told, influence = columns(fit), problem.influence
    near(told["leverage"], influence.hat_matrix_diag)
    near(found.leverages, influence.hat_matrix_diag)
    sigma = np.ones(len(problem.t_u)) if problem.sigma is None else problem.sigma
    own = judged.resid / sigma / np.sqrt(1 - influence.hat_matrix_diag)
    internal = own if problem.is_absolute else own / np.sqrt(judged.scale)
    near(told["studentized_internal"], internal)
    h = influence.hat_matrix_diag
    near(told["cook"], internal**2 * h / (problem.k * (1 - h)))


@NUMBERED
def test_intervals_of_random_fits(number: int) -> None:
    """Of the curve and of a new reading, within the range and a span beyond it."""
    problem = Problem(number)
    found, judged = problem.found, problem.judged
    centred = found.of.centred
    assert centred
    low, high = float(problem.t_u.min()), float(problem.t_u.max())
    readings = np.linspace(2 * low - high, 2 * high - low, 7)
    curve = Curve(
        lambda t_u, *params: np.polyval(params, t_u),
        found.of.params.numpy(),
        centred.shift,
        centred.scale,
        True,
        low,
        high,
    )
    seen = problem.design(readings - np.round(problem.t_u.mean()))
    judge = judged.get_prediction(seen)
    record = found.for_predictions(0.0)
    mean = band(curve, record, Wanted(curve=True))
    near(curve.values(readings), judge.predicted_mean)
    near(mean.uncertainties(readings), judge.se_mean)
    sigma = np.ones(1) if problem.sigma is None else problem.sigma
    scatter = np.sqrt((1.0 if problem.is_absolute else judged.scale) * (sigma**2).mean())
    near(band(curve, record, Wanted()).uncertainties(readings), np.hypot(judge.se_mean, scatter))
    near(mean.reach(readings), (judge.conf_int()[:, 1] - judge.conf_int()[:, 0]) / 2)
