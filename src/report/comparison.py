"""What tables, words and figures are about: runs on record, ranked, and what the record says of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from ..config import ConfigError
from ..spelling import PROBLEM
from ..tracking import reader
from ..tracking.record import DatasetRecord, TrackedRun, dataset_record, rebuild

if TYPE_CHECKING:  # who only reads the record need not wait for torch and pandas
    from ..data import Pairs
    from ..settings import Settings
    from ..tracking.store import Store

Curve = tuple[Sequence[int], Sequence[float]]


@dataclass(frozen=True)
class Comparison:
    """Runs in the order in which they are shown, best first unless asked otherwise; `title` says of what."""

    store: Store
    title: str
    runs: Sequence[TrackedRun]

    @property
    def best(self) -> TrackedRun | None:
        """The first run that has a calibration."""
        return next((run for run in self.runs if run.outcome in ("converged", "stopped")), None)

    @property
    def best_first(self) -> Comparison:
        """The same runs, ranked: what words are about."""
        return replace(self, runs=ranked(self.runs))

    @cached_property
    def dataset(self) -> DatasetRecord:
        """What the first run was trained on."""
        return reader.dataset(self.store, self.runs[0].run_id)

    @cached_property
    def settings(self) -> Settings:
        """The first run's; raises ConfigError where it was another program's."""
        return rebuild(self.runs[0], self.dataset)

    @cached_property
    def pairs(self) -> Pairs | None:
        """The first run's data, read again; None where they are gone or others, and `missing` says why."""
        return None if isinstance(self._pairs, ConfigError) else self._pairs

    @property
    def missing(self) -> str:
        """Why there are no pairs; empty where there are."""
        return str(self._pairs) if isinstance(self._pairs, ConfigError) else ""

    @cached_property
    def _pairs(self) -> Pairs | ConfigError:
        from ..data import load

        if not self.runs:
            return ConfigError("no run is on record")
        try:
            pairs = load(self.settings.data, len(self.settings.model.start))
        except ConfigError as error:
            return error
        if dataset_record(pairs).digest != self.dataset.digest:
            return ConfigError(
                f"{pairs.settings.path} has changed since run {self.runs[0].run_id} was trained on it"
            )
        return pairs

    @property
    def alike(self) -> list[TrackedRun]:
        """The runs of the first one's problem: the same data and the same model."""
        first = [self.runs[0].params.get(key) for key in PROBLEM]
        return [run for run in self.runs if [run.params.get(key) for key in PROBLEM] == first]

    @property
    def unit(self) -> str:
        """The target's unit; empty where nobody knows it."""
        return self.pairs.settings.target_unit if self.pairs else ""

    def curves(self, of: Sequence[TrackedRun]) -> Mapping[str, Curve]:
        """The loss curves of some of the runs, by run id."""
        return reader.curves(self.store, [run.run_id for run in of])


def ranked(runs: Sequence[TrackedRun], by: str = "loss_gap", descending: bool = False) -> list[TrackedRun]:
    """Best first by a metric or param, of equals by `loss_gap`; then those without it, by loss.

    Raises ConfigError for a key that no run has.
    """
    known = dict.fromkeys(key for run in runs for key in (*run.metrics, *run.params))
    if runs and by not in {**known, "loss_gap": None}:
        raise ConfigError(f"--sort {by}: no run has that; give one of {', '.join(known)}")
    found = sorted(runs, key=_rank)
    there = [run for run in found if _sortable(run, by) is not None]
    there.sort(key=lambda run: _sortable(run, by) or (0.0, ""), reverse=descending)
    return there + [run for run in found if _sortable(run, by) is None]


def _sortable(run: TrackedRun, by: str) -> tuple[float, str] | None:
    """A metric or param as a number, or else the text of one that is none; None where there is nothing."""
    value = run.metrics.get(by, run.params.get(by))
    if value is None or (by == "loss" and run.outcome == "diverged"):
        return None
    try:
        return float(value), ""
    except ValueError:
        return math.inf, str(value)


def _rank(run: TrackedRun) -> tuple[float, float, float, str]:
    """By gap, where none is known by loss, and by learning rate; a diverged run's loss is no result."""
    gap = run.metrics.get("loss_gap", math.inf)
    is_ranked = gap < math.inf or run.outcome == "diverged"
    return gap, math.inf if is_ranked else run.metrics.get("loss", math.inf), lr(run), run.name


def lr(run: TrackedRun) -> float:
    """A run's learning rate; infinity for another program's run without one."""
    try:
        return float(run.params.get("lr", "inf"))
    except ValueError:
        return math.inf
