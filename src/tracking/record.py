"""What is on record for one run, written and read back: plain data, the same for every store."""

from __future__ import annotations

import json
import math
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from ..config import ConfigError, one_line
from ..fit import metrics
from ..formula import Calibration, formula
from ..normalization import UNCHANGED, Affine
from ..package import NAME
from ..settings import Origin, Settings
from ..spelling import (
    FIRST_LOSS,
    SCALE,
    SHIFT,
    from_params,
    is_raw,
    parameters,
)
from . import conformity
from .dataset import DatasetRecord, DataSummary, dataset_record, short_hash
from .limits import LONGEST_NAME, LONGEST_PARAM, LONGEST_TAG, cut
from .started import common_tags
from .trust import distance

if TYPE_CHECKING:  # who only reads the record need not wait for torch
    from ..fit.plan import Run
    from ..fit.result import Result
    from ..fit.uncertainty import Uncertainty

Status = Literal["FINISHED", "FAILED", "KILLED"]
Numbers = tuple[dict[str, float], Sequence[int], dict[str, Sequence[float]]]

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
HELD_OUT_DIGEST = "held_out_digest"  # and which validate it
DATA_DIGEST = "data_digest"  # the tag that says which readings a run was trained on
LEFT_OUT = "left_out_losses"  # the tag of what each observation loses by a fit without it, as JSON
MOST_LEFT_OUT = 400  # of these: of more observations, means of some together
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


@dataclass(frozen=True)
class Call:
    """What all runs of one call have in common: when they were trained, under which parent, where started."""

    start_ms: int
    end_ms: int
    parent_id: str | None = None
    started: Mapping[str, str] = field(default_factory=common_tags)


def of_result(result: Result, call: Call, replaces: str = "") -> RunRecord:
    """The record of a run that was trained, to its end or not."""
    recorded = result.run.spelling.params(result.run.input.fitted)
    found = metrics.of(result)
    tags: dict[str, str] = {"outcome": result.outcome, NOTE: _note(result, recorded, found)}
    if result.reason:
        tags |= {"reason": str(result.reason), "advice": result.reason.advice}
    if result.uncertainty:
        band = result.run.input.band
        tags |= {UNCERTAINTY: band} if len(band) <= LONGEST_TAG else {}  # of two dozen parameters or more
        if result.run.settings.loss.name != FIRST_LOSS and (lost := _left_out(result.uncertainty)):
            tags[LEFT_OUT] = lost
    tags |= conformity.tags(result, tags.get(UNCERTAINTY))
    if result.caution:
        tags["caution"] = result.caution
    path = {f"path_{name}": values for name, values in result.path.items()}
    validation = {"validation_loss": result.validation} if result.validation else {}
    curves = {"loss": result.losses, **validation, **path} if result.epochs else {}
    status, numbers = STATUS[result.outcome], (found, result.epochs, curves)
    return _record(result.run, recorded, call, status, tags, replaces, numbers)


def _left_out(fit: Uncertainty) -> str:
    """Empty where a fit without some observation was not found."""
    parts = fit.left_out_losses.tensor_split(min(MOST_LEFT_OUT, len(fit.left_out_losses)))
    losses = [float(f"{float(part.mean()):.9g}") for part in parts]
    return json.dumps(losses) if all(map(math.isfinite, losses)) else ""


def of_crash(run: Run, call: Call, error: Exception, replaces: str = "") -> RunRecord:
    """The record of a run that an error ended: FAILED without an outcome."""
    note = f"Crashed: {type(error).__name__}: {one_line(error)}"
    recorded = run.spelling.params(run.input.fitted)
    return _record(run, recorded, call, "FAILED", {NOTE: note}, replaces)


def _record(
    run: Run,
    recorded: dict[str, str],
    call: Call,
    status: Status,
    tags: dict[str, str],
    replaces: str,
    numbers: Numbers = ({}, (), {}),
) -> RunRecord:
    """`numbers`: metrics, epochs and curves."""
    pairs = run.problem.pairs
    found, epochs, curves = numbers
    tags |= {
        **call.started,
        DATA_DIGEST: pairs.digest,
        **({HELD_OUT_DIGEST: pairs.held_out.digest} if pairs.held_out else {}),
        "code": json.dumps(run.code | {"python": PYTHON}),
        "processor": run.processor,
        "fingerprint": run.fingerprint,
        "overrides": as_text(run.spelling.overrides),
        **{f"{ABOUT}{name}": text for name, text in run.settings.about if text},
    }
    origin = run.settings.origin
    if origin.sweep and call.parent_id:
        tags |= {"sweep": origin.sweep, JOB: str(origin.job), "mlflow.parentRunId": call.parent_id}
    return RunRecord(
        name=cut(run.spelling.name, LONGEST_NAME),
        status=status,
        start_ms=call.start_ms,
        end_ms=call.end_ms,
        params={key: cut(value, LONGEST_PARAM) for key, value in recorded.items()},
        metrics=found,
        epochs=epochs,
        curves=curves,
        tags={key: cut(value, LONGEST_TAG) for key, value in tags.items()},
        dataset=dataset_record(pairs),
        run_id=_run_id(origin),
        replaces=replaces,
    )


def is_curve(metric: str) -> bool:
    """Whether a metric has a value at each recorded epoch, and not one of the whole run."""
    return metric in ("loss", "validation_loss") or metric.startswith("path_")


def job_id(sweep: str, job: int) -> str:
    """The run id (32 hex digits) of a sweep's job: ascending, and the same however often it is trained."""
    return f"{short_hash(sweep)}{job:016x}"


def _run_id(origin: Origin) -> str:
    """Of a run on its own a new one: it is on record once, too, where it is written again."""
    if origin.sweep and origin.job is not None:
        return job_id(origin.sweep, origin.job)
    return f"{int(time.time() * 1000):012x}{secrets.token_hex(10)}"


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


def _note(result: Result, recorded: dict[str, str], found: dict[str, float]) -> str:
    """What came of a run with these params and metrics, in a sentence or two."""
    run = result.run
    if result.outcome == "diverged":
        at = "" if result.diverged_at is None else f" at epoch {result.diverged_at}"
        return f"Diverged{at}: {result.reason}."
    if result.final_loss is None:
        return "Interrupted before its first epoch."
    ranges = dataset_record(run.problem.pairs).ranges
    in_raw = result.raw and not is_raw(recorded)
    shown = (result.raw, UNCHANGED) if in_raw else (result.trained, run.input.fitted)
    written = formula(recorded, shown, ranges, result.final_loss)
    away = distance(recorded, found)
    # MLflow's table shows the first fifty letters
    return f"Loss {result.final_loss:.6g}: `{written}`, {away}. {_state(result)}"


def _state(result: Result) -> str:
    epochs = result.run.settings.epochs
    if result.outcome == "converged":
        return "Converged."
    if result.outcome == "killed":
        return f"Interrupted at epoch {result.epochs[-1]} of {epochs}."
    if result.reason:
        grows = "" if result.run.input.ambiguity else ", before its loss began to grow"
        return f"Stopped short at epoch {epochs}{grows}: {result.reason}."
    return f"Stopped short at epoch {epochs}{': ' * bool(result.outlook)}{result.outlook}."
