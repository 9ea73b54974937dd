"""From a run that was trained, or that an error ended, to its record."""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..config import one_line
from ..fit import metrics
from ..formula import formula
from ..normalization import UNCHANGED
from ..settings import Origin
from ..spelling import FIRST_LOSS, is_raw
from . import conformity
from .dataset import dataset_record
from .limits import LONGEST_NAME, LONGEST_PARAM, LONGEST_TAG, cut
from .record import (
    ABOUT,
    DATA_DIGEST,
    HELD_OUT_DIGEST,
    JOB,
    LEFT_OUT,
    NOTE,
    PYTHON,
    STATUS,
    UNCERTAINTY,
    RunRecord,
    Status,
    as_text,
    job_id,
)
from .started import common_tags
from .trust import distance

if TYPE_CHECKING:
    from ..fit.plan import Run
    from ..fit.result import Result
    from ..fit.uncertainty import Uncertainty

MOST_LEFT_OUT = 400  # losses of observations left out: of more, means of some together

Numbers = tuple[dict[str, float], Sequence[int], dict[str, Sequence[float]]]


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


def _run_id(origin: Origin) -> str:
    """Of a run on its own a new one: it is on record once, too, where it is written again."""
    if origin.sweep and origin.job is not None:
        return job_id(origin.sweep, origin.job)
    return f"{int(time.time() * 1000):012x}{secrets.token_hex(10)}"


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
