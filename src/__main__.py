"""Calibrate an instrument: one command to train, to compare, to predict and to export.

    calibrate train -m lr=1e-2,1e-3       # where it is installed
    python -m src train -m lr=1e-2,1e-3   # in a checkout: the same as python -m src.train -m lr=1e-2,1e-3

Exit codes: the named command's own; 2 where there is none of that name.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from types import ModuleType

from . import early
from .package import command, version

COMMANDS = ("train", "compare", "predict", "export")


def main() -> int:
    """Hand over to the command named first, which reads the arguments after it; returns the exit code."""
    early.quiet()
    name, *arguments = sys.argv[1:] or ["--help"]
    exit_code: int
    if name in COMMANDS:
        sys.argv[1:] = arguments
        exit_code = _module(name).command()
    else:
        exit_code = _module("terminal.command").run_command(lambda: _tell(name))
    gc.freeze()  # or the interpreter spends a second looking for garbage in torch and MLflow as it ends
    return exit_code


def _tell(name: str) -> None:
    """What commands there are, or which version; raises ConfigError unless that is asked for."""
    if name == "--version":
        print(f"calibrate {version()}")
        return
    if name not in ("-h", "--help"):
        known = f"{', '.join(COMMANDS[:-1])} or {COMMANDS[-1]}"
        raise _module("config").ConfigError(f"there is no command {name}: give {known}")
    print(_help())


def _module(name: str) -> ModuleType:
    """A module alone, so that a mistake answers quickly."""
    return import_module(f".{name}", __package__)


def _help() -> str:
    """What each command is for, by the first line of its module's docstring."""
    about = {command(name): (_module(name).__doc__ or "").partition("\n")[0] for name in COMMANDS}
    width = max(map(len, about))
    lines = [f"  {called:{width}}  {purpose}" for called, purpose in about.items()]
    about_all = (__doc__ or "").partition("\n")[0]
    return "\n".join([about_all, "", "Commands, each of which says more with --help:", "", *lines])


if __name__ == "__main__":
    sys.exit(main())
