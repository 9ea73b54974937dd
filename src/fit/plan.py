"""Settings and pairs -> runs that are ready to train: nothing can be wrong with them any more."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from ..config import ConfigError
from ..data import Pairs
from ..functions import parameter_names
from ..models import MODELS, Model
from ..normalization import NORMALIZATIONS, Affine
from ..polynomial import fold_matrix, is_polynomial
from ..settings import DataSettings, NormalizationSettings, Settings
from .yardstick import Optimum, converged_below, least_squares, stability_limit

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """What all runs of one model on one set of pairs share, in one dtype on one device."""

    pairs: Pairs
    model: Model
    t_u: Tensor  # (N,) float64
    t_c: Tensor  # (N,) float64
    optimum: Optimum
    converged_below: float  # the loss_gap under which a run has converged

    @property
    def names(self) -> tuple[str, ...]:
        """The K parameters' names."""
        return parameter_names(self.model)


@dataclass(frozen=True)
class Input:
    """A problem's input under one normalization; `t_un` (N,) in the runs' dtype, `fold` (K, K) float64."""

    fitted: Affine
    limit: float
    t_un: Tensor
    fold: Tensor


@dataclass(frozen=True)
class Run:
    """A run that is ready to train."""

    settings: Settings
    problem: Problem
    input: Input

    @property
    def lr_over_limit(self) -> float:
        """The learning rate over the largest stable one."""
        return self.settings.lr / self.input.limit


class Preparation:
    """Prepares runs; what several share is read and computed once, and refused once."""

    def __init__(self, load: Callable[[DataSettings, int, float], Pairs]) -> None:
        """`load` reads pairs, as `data.load` does."""
        self._load = load
        self._problem = _remembering(self._make_problem)
        self._input = _remembering(self._make_input)

    def prepare(self, settings: Settings) -> Run:
        """Raises ConfigError for data, a model, a normalization or a device that will not do."""
        key = (settings.data, settings.model.name, settings.dtype, settings.device)
        run = Run(settings, self._problem(*key), self._input(key, settings.normalization))
        range_ = torch.finfo(getattr(torch, settings.dtype))
        if not (range_.tiny <= settings.lr <= range_.max and run.lr_over_limit < math.inf):
            raise ConfigError(
                f"lr={settings.lr:g} is out of the range of {settings.dtype}: "
                f"give one near the limit of this input, {run.input.limit:.2g}"
            )
        return run

    def _make_problem(self, data: DataSettings, model_name: str, dtype: str, device: str) -> Problem:
        check_device(device)
        model = MODELS[model_name]
        n_params = len(parameter_names(model))
        if not is_polynomial(model, n_params):
            raise ConfigError(
                f"model={model_name} is no polynomial with the highest power first: the exact optimum, "
                "raw-unit parameters and predictions are known of those alone"
            )
        pairs = self._load(data, n_params, torch.finfo(getattr(torch, dtype)).max)
        t_u, t_c = torch.from_numpy(pairs.t_u), torch.from_numpy(pairs.t_c)
        try:
            optimum = least_squares(model, t_u, t_c)
        except ValueError:
            optimum = None
        if optimum is None or not (optimum.params.isfinite().all() and math.isfinite(optimum.loss)):
            raise ConfigError(
                f"{data.path}: {data.input} from {t_u.min():g} to {t_u.max():g} and {data.target} from "
                f"{t_c.min():g} to {t_c.max():g} are out of the range of arithmetic: rescale them"
            )
        return Problem(pairs, model, t_u, t_c, optimum, converged_below(t_c))

    def _make_input(self, key: tuple[DataSettings, str, str, str], choice: NormalizationSettings) -> Input:
        problem = self._problem(*key)
        try:
            fitted = NORMALIZATIONS[choice.name](problem.t_u, **choice.options)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        limit = stability_limit(problem.model, fitted.apply(problem.t_u, torch.float64))
        t_un = fitted.apply(problem.t_u, getattr(torch, key[2]))
        fold = torch.from_numpy(fold_matrix(fitted, len(problem.names)))
        if not (0 < limit < math.inf and t_un.isfinite().all() and fold.isfinite().all()):
            raise ConfigError(
                f"normalization={choice.name} with shift {fitted.shift:g} and scale {fitted.scale:g} "
                f"takes {key[0].input} out of the range of {key[2]}: choose another"
            )
        return Input(fitted, limit, t_un, fold)


def check_device(device: str) -> None:
    """Raises ConfigError where this machine has no such device."""
    available = ["cpu", *(f"cuda:{card}" for card in range(torch.cuda.device_count()))]
    if device not in available and not (device == "cuda" and len(available) > 1):
        raise ConfigError(f"device={device} is not here: give one of {', '.join(available)}")


def _remembering(function: Callable[..., T]) -> Callable[..., T]:
    """Like functools.cache, but a refusal is remembered too: a missing file is looked for once."""
    results: dict[tuple[Hashable, ...], T | ConfigError] = {}

    def remembered(*key: Hashable) -> T:
        if key not in results:
            try:
                results[key] = function(*key)
            except ConfigError as error:
                results[key] = error
        result = results[key]
        if isinstance(result, ConfigError):
            raise result
        return result

    return remembered
