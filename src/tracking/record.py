"""What is on record for one run, and what is read from it: plain data, the same for every store."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ..config import ConfigError, one_line
from ..formula import Calibration
from ..normalization import UNCHANGED, Affine
from ..package import NAME
from ..settings import Settings
from ..spelling import FIRST_LOSS, SCALE, SHIFT, from_params, is_raw, parameters
from ..workplace import digest
from .dataset import DatasetRecord, DataSummary

Status = Literal["FINISHED", "FAILED", "KILLED"]

# FINISHED means usable: the page marks a diverged run, its tag `outcome` tells it from a crash.
STATUS: dict[str, Status] = {
    "converged": "FINISHED",
    "stopped": "FINISHED",
    "diverged": "FAILED",
    "killed": "KILLED",
}

DONE = ("converged", "stopped", "diverged")
HALF = ("RUNNING", "KILLED")  # the status of a run that may not be whole

RANK = "rank"  # the metric of a run's place in its sweep, which `ranks` writes
LIKE = "settings"  # the tag that sweeps with the same config have in common; only parents have it
AT_WORK = "process"  # the tag that says which process is at work on a sweep, or was; on a server, on a run
JOB = "job"  # the tag of a run's number in its sweep
DATA_DIGEST = "data_digest"  # the tag that says which readings a run was trained on,
HELD_OUT_DIGEST = "held_out_digest"  # and which validate it
LEFT_OUT = "left_out_losses"  # the tag of what each observation loses by a fit without it, as JSON
UNCERTAINTY = "uncertainty"  # the tag of what intervals are computed from, as JSON; in a model's config too
PYTHON = ".".join(map(str, sys.version_info[:2]))  # whose hashes of code are alike
ABOUT = "about."  # what the tags of `about.instrument` and so on begin with
CHANGE = "change"  # the tag of what has changed since the earlier version of its registered name
MOST_VALUES = 6  # of a setting that a sweep is over, in its name
NOTE = "mlflow.note.content"  # the tag that MLflow's page shows as a description, in Markdown
# Tags that no table needs, most of which each run has for itself
OF_ONE = (NOTE, "fingerprint", "overrides", JOB, "mlflow.runName", "mlflow.source.name", "mlflow.source.type")


@dataclass(frozen=True)
class RunRecord:
    """One complete run, within MLflow's limits.

    Times are Unix milliseconds; `curves` are metrics with a value at each of the `epochs`; `metrics` stand at
    step 0. All numbers are finite. A job of a sweep has the same `run_id` whenever it is trained; empty is
    any. `replaces` is the run that was on record of it, which did not come to its end.
    """

    name: str
    status: Status
    start_ms: int
    end_ms: int
    params: dict[str, str]
    metrics: dict[str, float]
    epochs: Sequence[int]
    curves: dict[str, Sequence[float]]
    tags: dict[str, str]
    dataset: DatasetRecord | None = None
    run_id: str = ""
    replaces: str = ""


@dataclass(frozen=True)
class TrackedRun:
    """A run as the store holds it; `start_ms` Unix milliseconds.

    `metrics` are the latest values, all but `RANK`: it is of all the sweep's runs, not of those at hand.
    `dataset_digest` is that of the run's dataset input, and `data` what is known of it.
    """

    run_id: str
    name: str
    status: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    start_ms: int = 0
    dataset_digest: str = ""
    data: DataSummary | None = None
    experiment_id: str = ""

    @property
    def is_parent(self) -> bool:
        """Whether it stands for a sweep: then its params and metrics are those of the sweep's best."""
        return LIKE in self.tags

    @property
    def loss(self) -> float | None:
        """Of the parameters on record; of an older run the curve's last, one step before."""
        return self.metrics.get("final_loss", self.metrics.get("loss"))

    @property
    def data_digest(self) -> str:
        """Which readings the run was trained on; of runs from before that was on record, which dataset."""
        return self.tags.get(DATA_DIGEST, self.dataset_digest)

    @cached_property
    def loss_function(self) -> tuple[str, ...]:
        """By what it was trained: the function's name and its options, as `delta=1`."""
        options = (f"{key}={value}" for key, value in self.params.items() if key.startswith("loss_"))
        return self.params.get("loss", FIRST_LOSS), *options

    @property
    def is_under_squares(self) -> bool:
        """Whether it was trained by least squares, of which there are tests, influences and AICc."""
        return self.params.get("loss", FIRST_LOSS) == FIRST_LOSS

    def calibration(self) -> Calibration | None:
        """What predicts: the parameters as trained, by name, and the normalization that they are about.

        Of an older run that has none of these on record, those in raw units. None where there are neither.
        """
        kind = self._kind
        return self._known(kind or "", self._normalization if kind else UNCHANGED)

    @property
    def has_calibration(self) -> bool:
        """Whether there is one. Not kept: with another attribute a run takes twice the memory."""
        return self._kind is not None

    @property
    def _kind(self) -> str | None:
        """What the names of the parameters that predict begin with; None where there are none."""
        names = parameters(self.params)
        if {SHIFT, SCALE} <= self.params.keys() and self._has("trained_", names):
            return "trained_"
        return "" if self._has("", names) else None

    def readable(self) -> Calibration | None:
        """The same in raw units where they are on record; a polynomial is written so from these."""
        raw = None if is_raw(self.params) else self._known("", UNCHANGED)
        return raw or self.calibration()

    def best_fit(self) -> Calibration | None:
        """The best fit's parameters, which are in raw units where the run's own are; None where unknown."""
        names = parameters(self.params)
        in_raw = all(name in self.metrics for name in names)
        if not any(f"trained_{name}" in self.metrics for name in names):  # a run that diverged
            in_raw = is_raw(self.params)
        return self._known("best_", UNCHANGED if in_raw else self._normalization)

    def _known(self, kind: str, about: Affine | None) -> Calibration | None:
        names = parameters(self.params)
        if about is None or not self._has(kind, names):
            return None
        return {name: self.metrics[f"{kind}{name}"] for name in names}, about

    def _has(self, kind: str, names: Sequence[str]) -> bool:
        return bool(names) and all(f"{kind}{name}" in self.metrics for name in names)

    @property
    def _normalization(self) -> Affine | None:
        if not {SHIFT, SCALE} <= self.params.keys():
            return None
        return Affine(float(self.params[SHIFT]), float(self.params[SCALE]))

    @property
    def outcome(self) -> str:
        """`converged`, `stopped`, `diverged`, `killed`; `crashed` for a run that has none.

        A server gets the tags first, the values and the status later: what it has by half was killed.
        """
        return "killed" if self.status in HALF else self.tags.get("outcome", "crashed")

    @property
    def is_done(self) -> bool:
        """Whether it was trained to its end: what was killed or crashed is to be trained again."""
        return self.outcome in DONE

    @property
    def objective(self) -> float:
        """What a sweeper compares: the loss, infinite where the run diverged."""
        return math.inf if self.outcome == "diverged" or self.loss is None else self.loss


def is_curve(metric: str) -> bool:
    """Whether a metric has a value at each recorded epoch, and not one of the whole run."""
    return metric in ("loss", "validation_loss") or metric.startswith("path_")


def job_id(sweep: str, job: int) -> str:
    """The run id (32 hex digits) of a sweep's job: ascending, and the same however often it is trained."""
    return f"{digest(sweep)}{job:016x}"


def as_text(given: dict[str, str]) -> str:
    """Overrides as one line."""
    return " ".join(f"{key}={value}" for key, value in given.items())


def in_short(given: dict[str, str]) -> str:
    """The same, of many values of one the first and the last.

    >>> in_short({"lr": "0.1,0.2,0.3,0.4,0.5,0.6,0.7", "epochs": "5,50"})
    'lr=0.1…0.7 (7 values) epochs=5,50'
    """
    short = {}
    for key, values in given.items():
        several = values.split(",")
        is_long = len(several) > MOST_VALUES
        short[key] = f"{several[0]}…{several[-1]} ({len(several):,} values)" if is_long else values
    return as_text(short)


def rebuild(run: TrackedRun, dataset: DatasetRecord) -> Settings:
    """The settings that a run was trained with; raises ConfigError for a run of another program's."""
    try:
        profile = json.loads(dataset.profile or "{}")
        columns = {key: profile[key] for key in ("input", "target")}
        units = {each["name"]: each["unit"] for each in columns.values() if each["unit"]}
        return from_params(run.params, units)
    except (KeyError, ValueError) as error:
        raise ConfigError(f"run {run.run_id} is not a run of {NAME}.train: {one_line(error)}") from error
