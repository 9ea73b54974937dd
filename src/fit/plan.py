"""Settings and pairs -> runs that are ready to train: nothing can be wrong with them any more."""

from __future__ import annotations

import json
import math
import platform
import re
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TypeVar

import torch
from torch import Tensor

from ..choices import Group
from ..config import ConfigError
from ..data import Pairs
from ..diagnostics.findings import Finding, findings
from ..losses import Loss
from ..models import Model
from ..normalization import ADVISED, NORMALIZATIONS, Affine
from ..polynomial import is_polynomial
from ..settings import DataSettings, Settings
from ..spelling import Speller, Spelling
from .advice import Reason, ambiguity
from .caution import as_tested
from .fingerprint import code_of, fingerprint
from .held_out import HeldOut
from .rates import fastest_rate, limit_in_digits
from .schedule import curve_schedule
from .stability import fastest_stable
from .trial import try_loss, try_model, try_normalization
from .uncertainty import Uncertainty
from .weights import Weights
from .yardstick import Yardstick, yardstick

T = TypeVar("T")
OTHER_SCALE = re.compile(r"(?:.*[\[(/_ ])?(°?[kf]|kelvin|fahrenheit)[\])]?", re.IGNORECASE)  # than °C


@dataclass(frozen=True)
class Problem:
    """What all runs of one model and one loss on one set of pairs share, in one dtype on one device.

    Runs of several problems share tensors where `company` is the same: functions, dtype, device and N.
    """

    pairs: Pairs
    company: Hashable
    names: tuple[str, ...]  # the K parameters'
    model_name: str
    model: Model
    loss: Loss
    t_u: Tensor  # (N,) float64
    t_c: Tensor  # (N,) float64
    weights: Weights
    held_out: HeldOut | None

    @cached_property
    def advised_limit(self) -> float:
        """The largest stable learning rate under the advised normalization; NaN but for polynomials."""
        if not is_polynomial(self.model, len(self.names)):
            return math.nan
        start = torch.zeros(len(self.names), dtype=torch.float64)
        advised = NORMALIZATIONS[ADVISED](self.t_u)
        return yardstick(
            self.model, self.loss, advised, self.t_u, self.t_c, start, weights=self.weights
        ).limit


@dataclass(frozen=True)
class Input:
    """A problem's input under one normalization, `t_un` (N,) in the runs' dtype, and its best fit."""

    problem: Problem
    fitted: Affine
    t_un: Tensor
    yardstick: Yardstick

    @cached_property
    def uncertainty(self) -> Uncertainty:
        """How well the data settle the best fit."""
        return Uncertainty(self.yardstick)

    @cached_property
    def ambiguity(self) -> Reason | None:
        """Why there is no one best fit, and what to do; None where there is, or the search found none."""
        return ambiguity(self.problem.names, self.uncertainty.redundancies)

    @cached_property
    def fastest(self) -> float:
        """The learning rate whose slowest direction is fastest; NaN where the dtype cannot converge at it."""
        rate = fastest_rate(self.yardstick.curvature)
        return rate if self.yardstick.resolves(self.t_un.dtype, rate) else math.nan

    @cached_property
    def band(self) -> str:
        """What intervals are computed from, as JSON; empty where nothing tells the uncertainty."""
        if self.uncertainty.factor is None:
            return ""
        return json.dumps(self.uncertainty.for_predictions(self.problem.pairs.settings.common or 0.0))

    @cached_property
    def findings(self) -> list[Finding]:
        """What speaks against the best fit, under squares."""
        return findings(as_tested(self.yardstick, self.problem.pairs, self.problem.model_name))


@dataclass(frozen=True)
class Run:
    """A run that is ready to train."""

    settings: Settings
    problem: Problem
    input: Input
    spelling: Spelling

    @property
    def limit(self) -> float:
        """The largest stable learning rate near the best fit; NaN where there is none."""
        return self.input.yardstick.limit

    @property
    def lr_over_limit(self) -> float:
        """The learning rate over the largest stable one."""
        return self.settings.lr / self.limit

    @property
    def resolves(self) -> bool:
        """Whether its dtype can converge at its learning rate."""
        return self.input.yardstick.resolves(self.input.t_un.dtype, self.settings.lr)

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides its numbers."""
        pairs = self.problem.pairs
        return fingerprint(self.spelling, pairs.digest + (pairs.held_out.digest if pairs.held_out else ""))

    @property
    def code(self) -> dict[str, str]:
        """What it is computed by: a hash for each function and for the loop, and torch's version."""
        return code_of(self.settings)

    @property
    def processor(self) -> str:
        """What it is trained on: on another kind of processor the last bits may be others."""
        return _processor(self.settings.device)

    @property
    def schedule(self) -> tuple[int, ...]:
        """The epochs at which its loss is recorded."""
        return curve_schedule(self.settings.epochs, self.settings.tracking.points)


def check_device(device: str) -> None:
    """Raises ConfigError where this machine has no such device."""
    available = ["cpu", *(f"cuda:{card}" for card in range(torch.cuda.device_count()))]
    if device not in available and not (device == "cuda" and len(available) > 1):
        raise ConfigError(
            f"device={device} is not available on this machine: give one of {', '.join(available)}"
        )


class Preparation:
    """Prepares runs; what several share is read and computed once, and refused once."""

    def __init__(
        self,
        load: Callable[[DataSettings, int, float], Pairs],
        metrics: Collection[str] = (),
        check: Callable[[str], None] = check_device,
    ) -> None:
        """`load` reads pairs, as `data.load` does; `metrics` are names that no parameter may have.

        `check` raises ConfigError for a device that will not do.
        """
        self._load, self._metrics, self._check = load, metrics, check
        self._problems: dict[Hashable, Problem | ConfigError] = {}
        self._inputs: dict[Hashable, Input | ConfigError] = {}
        self._texts: dict[int, tuple[Group, str]] = {}
        self._speller = Speller()

    def prepare(self, settings: Settings) -> Run:
        """Raises ConfigError for data, functions or a device that will not do."""
        company = settings.model.name, self._text(settings.loss), settings.dtype, settings.device
        key = (settings.data, *company)
        problem = _remembered(self._problems, key, lambda: self._problem(settings, company))
        family = (*key, self._text(settings.normalization), self._text(settings.model), settings.scaling)
        found = _remembered(self._inputs, family, lambda: _input(problem, settings, self._metrics))
        settings = _with_rate(settings, found)
        run = Run(settings, problem, found, self._speller.spell(settings))
        range_ = torch.finfo(getattr(torch, settings.dtype))
        if not range_.tiny <= settings.lr <= range_.max or run.lr_over_limit == math.inf:
            near = (
                ""
                if math.isnan(run.limit)
                else f": give one near the limit of this input, {limit_in_digits(run.limit)}"
            )
            raise ConfigError(f"lr={settings.lr:g} is out of the range of {settings.dtype}{near}")
        return run

    def _text(self, group: Group) -> str:
        """All that a group of settings holds, by which it is the same as another; jobs share the group."""
        known = self._texts.get(id(group)) or (group, repr(group))  # kept, or its id were another's
        self._texts[id(group)] = known
        return known[1]

    def _problem(self, settings: Settings, company: tuple[str, ...]) -> Problem:
        self._check(settings.device)
        names = settings.model.parameters
        pairs = self._load(settings.data, len(names), torch.finfo(getattr(torch, settings.dtype)).max)
        return Problem(
            pairs=pairs,
            company=(*company, len(pairs.t_u), pairs.root is None),
            names=names,
            model_name=settings.model.name,
            model=settings.model.chosen,
            loss=settings.loss.function,
            t_u=torch.from_numpy(pairs.t_u),
            t_c=torch.from_numpy(pairs.t_c),
            weights=Weights.of(pairs),
            held_out=HeldOut.of(pairs),
        )


def _input(problem: Problem, settings: Settings, metrics: Collection[str]) -> Input:
    model, choice = settings.model, settings.normalization
    if model.physical and choice.name != "none":
        raise ConfigError(f"model={model.name} takes its input as it is: give normalization=none")
    _require_unit(problem, settings)
    fitted = try_normalization(choice.function, choice.name, problem.t_u)
    if model.through_origin and fitted.shift:
        raise ConfigError(
            f"model={model.name} is through the origin, which normalization={choice.name} shifts: "
            "give normalization=none or scale"
        )
    t_un = fitted.apply(problem.t_u, getattr(torch, settings.dtype))
    if not t_un.isfinite().all():
        raise _out_of_range(fitted, settings, problem.t_u)
    start = torch.tensor(model.start_in_order, dtype=torch.float64)
    try_model(problem.model, problem.names, model.name, t_un, start, metrics)
    try_loss(problem.loss, settings.loss.name, problem.t_c.to(t_un))
    if problem.held_out and not problem.held_out.is_defined(problem.model, fitted, start):
        raise ConfigError(
            f"data.validation: model={model.name} has no value at its start for a reading that is held out: "
            "give others, or another model.start"
        )
    found = _yardstick(problem, fitted, start, settings.scaling)
    if not found.scales.isfinite().all():
        raise ConfigError("scaling=jacobian: a parameter has no effect at the start: start elsewhere")
    is_known = found.fold is None or bool(found.fold.isfinite().all())
    if not is_known or found.limit in (0, math.inf):
        raise _out_of_range(fitted, settings, problem.t_u)
    return Input(problem, fitted, t_un, found)


def _require_unit(problem: Problem, settings: Settings) -> None:
    """Raises ConfigError where the target is said to be in K or °F, and the model gives °C."""
    unit, data = getattr(problem.model, "unit", ""), problem.pairs.settings
    if unit == "°C" and (other := OTHER_SCALE.fullmatch(data.target_unit or data.target)):
        raise ConfigError(
            f"model={settings.model.name} gives °C, and {data.target} is in {other[1]}: give a column in °C, "
            "or data.target_unit=°C where it is"
        )


def _yardstick(problem: Problem, fitted: Affine, start: Tensor, scaling: str) -> Yardstick:
    try:
        found = yardstick(
            problem.model, problem.loss, fitted, problem.t_u, problem.t_c, start, scaling, problem.weights
        )
    except ValueError:
        found = None
    if found is None or (found.fold is not None and not found.params.isfinite().all()):
        data, t_u, t_c = problem.pairs.settings, problem.t_u, problem.t_c
        raise ConfigError(
            f"{data.path}: {data.input} from {t_u.min():g} to {t_u.max():g} and {data.target} from "
            f"{t_c.min():g} to {t_c.max():g} are out of the range of arithmetic: rescale them"
        )
    return found


def _with_rate(settings: Settings, found: Input) -> Settings:
    """With a number for lr=auto."""
    if str(settings.lr) != "auto":
        return settings
    if found.ambiguity:
        raise ConfigError(f"lr=auto: {found.ambiguity}, or give a number")
    rate = fastest_stable(found.yardstick, torch.tensor(settings.model.start_in_order, dtype=torch.float64))
    if math.isnan(rate):
        why = "has no curvature" if found.yardstick.fit.settled else "has no best fit that the search finds"
        raise ConfigError(f"lr=auto: loss={settings.loss.name} {why} here: give a number")
    return settings.model_copy(update={"lr": rate})


def _out_of_range(fitted: Affine, settings: Settings, t_u: Tensor) -> ConfigError:
    squares = fitted.apply(t_u, torch.float64).square()
    is_narrow = settings.dtype == "float32" and squares.isfinite().all()
    return ConfigError(
        f"normalization={settings.normalization.name} with shift {fitted.shift:g} and scale {fitted.scale:g} "
        f"takes {settings.data.input} out of the range of {settings.dtype}: "
        f"choose another{', or dtype=float64' if is_narrow else ''}"
    )


@cache
def _processor(device: str) -> str:
    """`x86_64 AVX512`, or the card's name; of a card of another machine what it was asked for by."""
    if device == "cpu":
        return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    if not torch.cuda.is_available():
        return device
    return torch.cuda.get_device_name(device)


def _remembered(known: dict[Hashable, T | ConfigError], key: Hashable, make: Callable[[], T]) -> T:
    """Made once for a key; a refusal is remembered too: a missing file is looked for once."""
    if key not in known:
        try:
            known[key] = make()
        except ConfigError as error:
            known[key] = error
    found = known[key]
    if isinstance(found, ConfigError):
        raise found
    return found
