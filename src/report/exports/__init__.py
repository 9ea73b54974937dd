"""Formats of a calibration for other programs; every module here without a leading underscore is one.

    def write(calibration: Calibration) -> str: ...

What a format cannot hold is refused by ConfigError.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from ..calibration import Calibration as Calibration


def names() -> list[str]:
    """Which formats there are."""
    return [module.name for module in iter_modules(__path__) if not module.name.startswith("_")]


def write(name: str, calibration: Calibration) -> str:
    """The calibration's text in a format."""
    text: str = import_module(f".{name}", __name__).write(calibration)
    return text
