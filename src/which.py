"""Which calibration is meant on a command line: the experiment's best run, a run by its id, or a model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import heavy
from .spelling import defaults_of

if TYPE_CHECKING:
    from .tracking.record import TrackedRun
    from .tracking.store import Store

WHICH = re.compile(r"best|[0-9a-f]{32}|models:/[^/:@]+(/\d+|/latest|@[^/:@]+)?")
HELP = "WHICH is best, a run's id, models:/NAME/VERSION, models:/NAME@ALIAS or models:/NAME (latest)"
ALLOWED = "give best, a run's id (32 digits), models:/NAME/VERSION, models:/NAME@ALIAS or models:/NAME"


def mistakes(which: str, experiment: str | None) -> Iterator[str]:
    """What is wrong with what is meant, and with where the best run is to be looked for."""
    if not WHICH.fullmatch(which):
        yield f"{which.strip()!r} is no calibration: {ALLOWED}"
    if experiment is not None and which != "best":
        yield "--experiment is where best looks: a run's id or a model needs none"


def is_model(which: str) -> bool:
    """Whether a model is named by its address."""
    return which.startswith("models:/")


def store_of(which: str, experiment: str | None) -> Store:
    """The store with what is meant; that of the experiment for the best run.

    Raises ConfigError where there is none.
    """
    store = heavy.store.existing()
    heavy.abandoned.end_abandoned(store)
    if which != "best":
        return store
    if experiment is None:
        experiment = heavy.best_run.where_best(
            store, defaults_of("tracking", "mlflow")["tracking", "experiment"]
        )
    return heavy.store.existing(experiment)


def run_of(store: Store, which: str) -> tuple[TrackedRun, str]:
    """The run that is meant, or that a model is of, and in words what was left out for it.

    Raises ConfigError where there is no such run or model.
    """
    if which == "best":
        best = heavy.best_run.best(store)
        return best.run, best.remark
    run_id = heavy.registry.run_id(store, which) if is_model(which) else which
    return heavy.reader.get(store, run_id), ""
