"""What decides a run's numbers, and a hash of it: a run with the same fingerprint is the same run."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import version

from ..functions import Function
from ..loop import training_loop
from ..normalization import Affine
from ..settings import Settings
from ..spelling import Spelling
from .code import code_digest
from .stability import parameter_scales

_in_order = json.JSONEncoder(sort_keys=True)  # once: making it takes as long as using it


def fingerprint(spelling: Spelling, data_digest: str) -> str:
    """32 hex digits, of settings, readings, the code that computes, and torch's version.

    Not where it is filed, nor where the data lie: the same numbers elsewhere are the same.
    """
    decisive = {row.setting.key: row.value for row in spelling.rows if row.setting.about.decides}
    text = _in_order.encode([decisive, data_digest, code_of(spelling.settings)])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def code_of(settings: Settings) -> dict[str, str]:
    """What a run is computed by: a hash for each function and one for the loop, and torch's version."""
    return _code(settings.model.chosen, settings.loss.chosen, settings.normalization.chosen)


@cache
def _code(model: Function, loss: Function, normalization: Function) -> dict[str, str]:
    return {
        "model": code_digest(model),
        "loss": code_digest(loss),
        "normalization": code_digest(normalization),
        "loop": code_digest(training_loop, parameter_scales, Affine),
        "torch": version("torch"),
    }
