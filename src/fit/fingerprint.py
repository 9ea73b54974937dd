"""What decides a run's numbers, and a hash of it: a run with the same fingerprint is the same run."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import version

from ..loop import training_loop
from ..normalization import Affine
from ..settings import Settings
from ..spelling import settings_of
from .code import code_digest
from .stability import parameter_scales


def fingerprint(settings: Settings, data_digest: str) -> str:
    """32 hex digits, of settings, readings, the code that computes, and torch's version.

    Not where it is filed, nor where the data lie: the same numbers elsewhere are the same.
    """
    decisive = {each.key: each.value(settings) for each in settings_of(settings) if each.about.decides}
    text = json.dumps([decisive, data_digest, code_of(settings)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def code_of(settings: Settings) -> dict[str, str]:
    """What a run is computed by: a hash for each function and one for the loop, and torch's version."""
    return {
        "model": code_digest(settings.model.chosen),
        "loss": code_digest(settings.loss.chosen),
        "normalization": code_digest(settings.normalization.chosen),
        **_always(),
    }


@cache
def _always() -> dict[str, str]:
    return {"loop": code_digest(training_loop, parameter_scales, Affine), "torch": version("torch")}
