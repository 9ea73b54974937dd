"""What is on record for one run, written and read back: plain data, the same for every store."""

from __future__ import annotations

import getpass
import hashlib
import json
import math
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..config import USUAL, ConfigError, Settings, fingerprint, one_line
from ..models import formula

if TYPE_CHECKING:  # who only reads the record need not wait for torch
    from ..data import Floats, Pairs
    from ..fit.plan import Calibration, Run

Status = Literal["FINISHED", "FAILED", "KILLED"]

# FINISHED means usable: the page marks a diverged run, its tag `outcome` tells it from a crash.
STATUS: dict[str, Status] = {
    "converged": "FINISHED",
    "stopped": "FINISHED",
    "diverged": "FAILED",
    "killed": "KILLED",
}

NOTE = "mlflow.note.content"  # the tag that MLflow's page shows as a description, in Markdown

# MLflow's limits, which sqlite does not enforce: a longer text is cut, with a mark that it was
LONGEST_NAME = 250
LONGEST_PARAM = 6000
LONGEST_TAG = 8000
LONGEST_DATASET_NAME = 500


@dataclass(frozen=True)
class DatasetRecord:
    """A file of pairs as MLflow's dataset input."""

    name: str
    digest: str
    source: str
    schema: str
    profile: str


@dataclass(frozen=True)
class RunRecord:
    """One complete run, within MLflow's limits.

    Times are Unix milliseconds; `epochs` and `losses` are the points of the loss curve; `metrics` stand at
    step 0. All numbers are finite.
    """

    name: str
    status: Status
    start_ms: int
    end_ms: int
    params: dict[str, str]
    metrics: dict[str, float]
    epochs: Sequence[int]
    losses: Sequence[float]
    tags: dict[str, str]
    dataset: DatasetRecord | None = None


@dataclass(frozen=True)
class TrackedRun:
    """A run as the store holds it; `metrics` are the latest values."""

    run_id: str
    name: str
    status: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]

    @property
    def outcome(self) -> str:
        """`converged`, `stopped`, `diverged`, `killed`; `crashed` for a run that has none."""
        return self.tags.get("outcome", "crashed")


@dataclass(frozen=True)
class Session:
    """What all runs of one call have in common: when, and under which parent."""

    start_ms: int
    end_ms: int
    parent_id: str | None = None
    sweep: str | None = None


def of_calibration(calibration: Calibration, session: Session) -> RunRecord:
    """The record of a run that was trained, to its end or not."""
    metrics = dict(calibration.raw)
    metrics |= {f"trained_{name}": value for name, value in calibration.trained.items()}
    metrics["lr_over_limit"] = calibration.lr_over_limit
    if calibration.loss_gap is not None:
        metrics["loss_gap"] = calibration.loss_gap
    if calibration.diverged_at is not None:
        metrics["diverged_at"] = calibration.diverged_at
    tags: dict[str, str] = {"outcome": calibration.outcome, NOTE: _note(calibration)}
    if calibration.reason:
        tags["reason"] = calibration.reason
    bare = _bare(calibration.run, session, STATUS[calibration.outcome], tags)
    metrics = {key: value for key, value in metrics.items() if math.isfinite(value)}
    return replace(bare, metrics=metrics, epochs=calibration.epochs, losses=calibration.losses)


def of_crash(run: Run, session: Session, error: Exception) -> RunRecord:
    """The record of a run that an error ended: FAILED without an outcome."""
    return _bare(run, session, "FAILED", {NOTE: f"Crashed: {type(error).__name__}: {error}"})


def _bare(run: Run, session: Session, status: Status, tags: dict[str, str]) -> RunRecord:
    """A record that lacks only its numbers."""
    settings, pairs = run.settings, run.problem.pairs
    tags |= common_tags() | {
        "fingerprint": fingerprint(settings, pairs.digest),
        "overrides": " ".join(settings.overrides),
    }
    if session.sweep and session.parent_id:
        tags |= {"sweep": session.sweep, "mlflow.parentRunId": session.parent_id}
    return RunRecord(
        name=cut(run_name(settings), LONGEST_NAME),
        status=status,
        start_ms=session.start_ms,
        end_ms=session.end_ms,
        params={key: cut(value, LONGEST_PARAM) for key, value in _params(run).items()},
        metrics={},
        epochs=(),
        losses=(),
        tags={key: cut(value, LONGEST_TAG) for key, value in tags.items()},
        dataset=dataset_record(pairs),
    )


def cut(text: str, longest: int) -> str:
    """At most `longest` characters; an ellipsis marks what was cut.

    >>> cut("calibration", 6)
    'calib…'
    """
    return text if len(text) <= longest else text[: longest - 1] + "…"


def run_name(settings: Settings) -> str:
    """Short, and what tells a sweep's runs apart comes first: `lr=0.01 zscore 5000`.

    What is usual goes without saying.
    """
    data, scaling = Path(settings.data.path).name, settings.normalization
    starts = [one.partition("model.start.")[2] for one in settings.overrides]
    parts = [
        f"lr={settings.lr:g}",
        scaling.name,
        f"×{scaling.factor:g}" if scaling.factor not in (None, USUAL["normalization.factor"]) else "",
        str(settings.epochs),
        settings.model.name if settings.model.name != USUAL["model"] else "",
        data if data != Path(USUAL["data.path"]).name else "",
        f"dtype={settings.dtype}" if settings.dtype != USUAL["dtype"] else "",
        f"device={settings.device}" if settings.device != USUAL["device"] else "",
        *(f"start {start}" for start in starts if start),
    ]
    return " ".join(filter(None, parts))


def _params(run: Run) -> dict[str, str]:
    settings, fitted = run.settings, run.input.fitted
    return {
        "lr": repr(settings.lr),
        "epochs": str(settings.epochs),
        "normalization": settings.normalization.name,
        "normalization_shift": repr(fitted.shift),
        "normalization_scale": repr(fitted.scale),
        "model": settings.model.name,
        **{f"start_{name}": repr(value) for name, value in settings.model.start.items()},
        "data": settings.data.path,
        "data_input": settings.data.input,
        "data_target": settings.data.target,
        "dtype": settings.dtype,
        "device": settings.device,
    }


def settings_of(run: TrackedRun, dataset: DatasetRecord) -> Settings:
    """The settings that a run was trained with: what `_params` and `dataset_record` put on record.

    Raises ConfigError for a run that is not `src.train`'s.
    """
    params, columns = run.params, json.loads(dataset.profile or "{}")
    try:
        start = {
            key.removeprefix("start_"): value for key, value in params.items() if key.startswith("start_")
        }
        return Settings.model_validate(
            {
                "lr": float(params["lr"]),
                "epochs": int(params["epochs"]),
                "dtype": params["dtype"],
                "device": params["device"],
                "data": {
                    "path": params["data"],
                    "input": params["data_input"],
                    "target": params["data_target"],
                    "units": {each["name"]: each["unit"] for each in (columns["input"], columns["target"])},
                },
                "model": {
                    "name": params["model"],
                    "start": {key: float(value) for key, value in start.items()},
                },
                "normalization": {
                    "name": params["normalization"],
                    "factor": float(params["normalization_scale"])
                    if params["normalization"] == "scale"
                    else None,
                },
                "tracking": {"experiment": "?"},
            }
        )
    except (KeyError, ValueError) as error:
        raise ConfigError(f"run {run.run_id} is none of src.train's: {one_line(error)}") from error


def _note(calibration: Calibration) -> str:
    """What came of a run, in a sentence or two."""
    run = calibration.run
    if calibration.diverged_at is not None:
        return f"Diverged at epoch {calibration.diverged_at}: {calibration.reason}."
    if not calibration.raw:
        return "Interrupted before its first epoch."
    data = run.settings.data
    found = f"`{data.target} = {formula(list(calibration.raw.values()), data.input)}`"
    distance = f"loss {calibration.losses[-1]:.6g}, {calibration.loss_gap:.3g} above the exact optimum's"
    return f"{found}: {distance}. {_state(calibration)}"


def _state(calibration: Calibration) -> str:
    epochs, limit = calibration.run.settings.epochs, calibration.run.input.limit
    if calibration.outcome == "converged":
        return "Converged."
    if calibration.outcome == "killed":
        return f"Interrupted at epoch {calibration.epochs[-1]} of {epochs}."
    if calibration.reason:
        return f"Still growing at epoch {epochs}: {calibration.reason}."
    return f"Stopped short at epoch {epochs}: more epochs, or a larger lr (the limit is {limit:.2g})."


def dataset_record(pairs: Pairs) -> DatasetRecord:
    """The dataset of a run: the file's name, the columns and the range that they cover.

    The digest is of all that, since MLflow holds one dataset for a name and a digest.
    """
    settings = pairs.settings
    columns = {
        "input": _column(settings.input, settings.input_unit, pairs.t_u),
        "target": _column(settings.target, settings.target_unit, pairs.t_c),
    }
    profile = json.dumps({"num_rows": len(pairs.t_u), **columns})
    return DatasetRecord(
        name=cut(Path(settings.path).stem, LONGEST_DATASET_NAME),
        digest=hashlib.sha256((pairs.digest + profile).encode()).hexdigest()[:16],
        source=json.dumps({"uri": settings.path}),
        schema=json.dumps(
            {
                "mlflow_colspec": [
                    {"type": "double", "name": name, "required": True}
                    for name in (settings.input, settings.target)
                ]
            }
        ),
        profile=profile,
    )


def _column(name: str, unit: str, values: Floats) -> dict[str, str | float]:
    return {"name": name, "unit": unit, "min": float(values.min()), "max": float(values.max())}


@cache
def common_tags() -> dict[str, str]:
    """What a run inherits from where it was started: the user, the program, the commit."""
    tags = {
        "mlflow.user": _user(),
        "mlflow.source.name": "src.train",
        "mlflow.source.type": "LOCAL",
    }
    commit = _git("rev-parse", "HEAD")
    if commit:
        tags["mlflow.source.git.commit"] = commit
        tags["git_dirty"] = str(bool(_git("status", "--porcelain", "--untracked-files=no"))).lower()
    return tags


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def _git(*command: str) -> str:
    """What git says of this code; empty where there is no git, or the code is no checkout."""
    try:
        answer = subprocess.run(
            ["git", *command],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
