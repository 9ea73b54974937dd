"""The observations of runs, as artifacts: a run can be repeated when their file has changed or is gone.

One file for each data set, under its digest, at the sweep's parent or at a run on its own. Its numbers are
those that were trained on, to the last digit.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

from ..data import Pairs
from ..settings import DataSettings
from .record import DATA_DIGEST, HELD_OUT_DIGEST, TrackedRun
from .store import Store

FOLDER = "data"
MOST_ROWS = 100_000  # some MB; of more there is the digest alone


def keep(store: Store, run_id: str, several: Iterable[Pairs]) -> None:
    """Each data set once, with the run or the parent; what cannot be kept is no reason not to train."""
    for pairs in {_name(pairs.digest, _held_out(pairs)): pairs for pairs in several}.values():
        frame = _frame(pairs)
        if len(frame) <= MOST_ROWS:
            with suppress(MlflowException, OSError), tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / _name(pairs.digest, _held_out(pairs))
                frame.to_csv(file, index=False)
                store.client.log_artifact(run_id, str(file), FOLDER)


def find(store: Store, run: TrackedRun, settings: DataSettings) -> Pairs | None:
    """What a run was trained on; None where that is not on record, or is not what it was."""
    wanted = run.tags.get(DATA_DIGEST, ""), run.tags.get(HELD_OUT_DIGEST, "")
    path = f"{FOLDER}/{_name(*wanted)}"
    for run_id in filter(None, (run.run_id, run.tags.get("mlflow.parentRunId"))):
        with suppress(MlflowException, OSError), tempfile.TemporaryDirectory() as folder:
            text = Path(store.client.download_artifacts(run_id, path, folder)).read_text("utf-8")
            pairs = _pairs(pd.read_csv(io.StringIO(text), dtype=str), settings)
            return pairs if (pairs.digest, _held_out(pairs)) == wanted else None
    return None


def _name(digest: str, held_out: str) -> str:
    return f"{'-'.join(filter(None, [digest, held_out]))}.csv"


def _held_out(pairs: Pairs) -> str:
    return pairs.held_out.digest if pairs.held_out else ""


def _frame(pairs: Pairs) -> pd.DataFrame:
    """(N, columns); those that validate come after those that train."""
    frame = pd.DataFrame({"line": pairs.lines, "reading": pairs.t_u, "reference": pairs.t_c})
    if pairs.sigma is not None:
        frame["sigma"] = pairs.sigma
    if pairs.held_out is None:
        return frame
    both = {False: frame, True: _frame(pairs.held_out)}
    return pd.concat([part.assign(held_out=is_held_out) for is_held_out, part in both.items()])


def _pairs(frame: pd.DataFrame, settings: DataSettings) -> Pairs:
    if "held_out" in frame:
        training, held_out = (
            _pairs(frame[frame["held_out"] == str(which)].drop(columns="held_out"), settings)
            for which in (False, True)
        )
        return replace(training, held_out=held_out)
    numbers = {name: np.array([*map(float, frame[name])]) for name in frame if name != "line"}  # exact
    return Pairs(
        settings,
        path=settings.path,
        file_digest="",
        t_u=numbers["reading"],
        t_c=numbers["reference"],
        sigma=numbers.get("sigma"),
        lines=np.array([*map(int, frame["line"])], dtype=np.int64),
    )
