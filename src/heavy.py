"""The one door to what takes seconds to import: torch, MLflow, pandas and matplotlib.

`heavy.pipeline.run(...)`: the module behind the name is imported at the first look at it. So a mistake
in what was asked for answers within a second, and who only reads the record does not wait for torch.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import pipeline as pipeline
    from .report import answers as answers
    from .report import comparison as comparison
    from .report import evaluation as evaluation
    from .report import exports as exports
    from .report import forecasts as forecasts
    from .report import page as page
    from .report import publish as publish
    from .report import repetitions as repetitions
    from .report import screen as screen
    from .tracking import abandoned as abandoned
    from .tracking import best_run as best_run
    from .tracking import predictor as predictor
    from .tracking import ranking as ranking
    from .tracking import reader as reader
    from .tracking import registry as registry
    from .tracking import resume as resume
    from .tracking import selection as selection
    from .tracking import store as store

REPORT = "answers comparison evaluation exports forecasts page publish repetitions screen"
TRACKING = "abandoned best_run predictor ranking reader registry resume selection store"
ROOMS = (
    {"pipeline": ".pipeline"}
    | {name: f".report.{name}" for name in REPORT.split()}
    | {name: f".tracking.{name}" for name in TRACKING.split()}
)


def __getattr__(name: str) -> Any:
    if name not in ROOMS:
        raise AttributeError(name)
    path = ROOMS[name]
    if f"{__package__}{path}" in sys.modules:
        return import_module(path, __package__)
    with _no_collecting():
        return import_module(path, __package__)


@contextmanager
def _no_collecting() -> Iterator[None]:
    """Spare the garbage collector modules in the making, which stay: it need not ever look at them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
