"""What is on record for one run, written and read back: plain data, the same for every store."""

from __future__ import annotations

import getpass
import json
import math
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from src.calibration import Calibration, Run
from src.config import Settings, fingerprint
from src.data import Pairs

Status = Literal["FINISHED", "FAILED", "KILLED"]

# FINISHED means usable: the page marks a diverged run, its tag `outcome` tells it from a crash.
STATUS: dict[str, Status] = {
    "converged": "FINISHED",
    "stopped": "FINISHED",
    "diverged": "FAILED",
    "killed": "KILLED",
}


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
    tags: dict[str, str] = {"outcome": calibration.outcome}
    if calibration.reason:
        tags |= {"reason": calibration.reason, "mlflow.note.content": _note(calibration)}
    bare = _bare(calibration.run, session, STATUS[calibration.outcome], tags)
    metrics = {key: value for key, value in metrics.items() if math.isfinite(value)}
    return replace(bare, metrics=metrics, epochs=calibration.epochs, losses=calibration.losses)


def of_crash(run: Run, session: Session, error: Exception) -> RunRecord:
    """The record of a run that an error ended: FAILED without an outcome."""
    note = f"Crashed: {type(error).__name__}: {error}"
    return _bare(run, session, "FAILED", {"mlflow.note.content": note})


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
    """Short, and what tells a sweep's runs apart comes first: `lr=0.01 zscore 5000`."""
    parts = [f"lr={settings.lr:g}", settings.normalization.name, str(settings.epochs)]
    if settings.model.name != "linear":
        parts.append(settings.model.name)
    return " ".join(parts)


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


def _note(calibration: Calibration) -> str:
    if calibration.diverged_at is None:
        return f"Still growing at epoch {calibration.run.settings.epochs}: {calibration.reason}."
    return f"Diverged at epoch {calibration.diverged_at}: {calibration.reason}."


def dataset_record(pairs: Pairs) -> DatasetRecord:
    """The dataset of a run."""
    settings = pairs.settings
    return DatasetRecord(
        name=cut(Path(settings.path).stem, LONGEST_DATASET_NAME),
        digest=pairs.digest,
        source=json.dumps({"uri": settings.path}),
        schema=json.dumps(
            {
                "mlflow_colspec": [
                    {"type": "double", "name": name, "required": True}
                    for name in (settings.input, settings.target)
                ]
            }
        ),
        profile=json.dumps({"num_rows": len(pairs.t_u)}),
    )


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
