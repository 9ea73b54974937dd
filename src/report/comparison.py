"""What tables, words and figures are about: runs on record, ranked, and what the record says of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePath

from ..config import ConfigError
from ..data import Pairs, load
from ..formula import Ranges
from ..settings import Settings
from ..spelling import DATA, HELD_OUT, SIGMA
from ..tracking import ranking, reader
from ..tracking.dataset import DatasetRecord, is_trained_on
from ..tracking.predictor import function_of
from ..tracking.record import TrackedRun, rebuild
from ..tracking.store import Store

Curve = tuple[Sequence[int], Sequence[float]]


@dataclass(frozen=True)
class Comparison:
    """Runs in the order in which they are shown, best first unless asked otherwise; `title` says of what.

    Runs on several data sets do not compare: what is said of runs is said for each of `data_sets`.
    """

    store: Store
    title: str
    runs: Sequence[TrackedRun]

    @cached_property
    def data_sets(self) -> Sequence[Comparison]:
        """A comparison for each data set, itself where there is one."""
        parts = ranking.data_sets(self.runs)
        return [self] if len(parts) < 2 else [replace(self, runs=part) for part in parts]

    @property
    def data(self) -> str:
        """What the first run was trained on: the path, the columns and the digest of what they held."""
        run = self.runs[0]
        if not run.data_digest:
            return "no data on record"
        path, *columns = (run.params.get(key, "?") for key in DATA)
        weighed = f" weighed by {run.params[SIGMA]}" if SIGMA in run.params else ""
        held_out = [f"{key.partition('_')[2]}={run.params[key]}" for key in HELD_OUT if key in run.params]
        told = "".join(f", {each}" for each in held_out)
        return f"{path}, {' to '.join(columns)}{weighed}{told}, data digest {run.data_digest}"

    @property
    def folder(self) -> str:
        """A name for a folder of files about these data."""
        stem = re.sub(r"[^\w.-]+", "-", PurePath(self.runs[0].params.get(DATA[0], "")).stem)
        return f"{stem[:60]}-{self.runs[0].data_digest}"

    @property
    def best(self) -> TrackedRun | None:
        """The first run that has a calibration."""
        return ranking.best(self.runs)

    @property
    def best_first(self) -> Comparison:
        """The same runs, ranked: what words are about."""
        return replace(self, runs=ranking.ranked(self.runs))

    @cached_property
    def dataset(self) -> DatasetRecord:
        """What the first run was trained on."""
        return reader.dataset(self.store, self.runs[0].run_id)

    @property
    def ranges(self) -> Ranges | None:
        """Of its readings and true values; None where they are not on record."""
        try:
            return self.dataset.ranges
        except ConfigError:
            return None

    @cached_property
    def settings(self) -> Settings:
        """The first run's; raises ConfigError where it was another program's."""
        return rebuild(self.runs[0], self.dataset)

    @cached_property
    def pairs(self) -> Pairs | None:
        """The first run's data, read again; None where these or its model have changed, see `missing`."""
        return None if isinstance(self._pairs, ConfigError) else self._pairs

    @property
    def missing(self) -> str:
        """Why there are no pairs; empty where there are."""
        return str(self._pairs) if isinstance(self._pairs, ConfigError) else ""

    @cached_property
    def _pairs(self) -> Pairs | ConfigError:
        if not self.runs:
            return ConfigError("no run is on record")
        try:
            function_of(self.runs[0])
            pairs = load(self.settings.data, len(self.settings.model.start))
        except ConfigError as error:
            return error
        if not is_trained_on(self.runs[0], pairs):
            return ConfigError(
                f"{pairs.settings.path} has changed since run {self.runs[0].run_id} was trained on it"
            )
        return pairs

    @property
    def unit(self) -> str:
        """The target's unit; empty where nobody knows it."""
        return self.pairs.settings.target_unit if self.pairs else ""

    def curves(self, of: Sequence[TrackedRun], metric: str = "loss") -> Mapping[str, Curve]:
        """The curves of some of the runs, by run id."""
        return reader.curves(self.store, [run.run_id for run in of], metric)
