"""How a command begins and ends: its arguments, its exit code, and what went wrong in a line."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from hydra_plugins.batch_launcher import JobsFailedError

from .. import package
from ..config import ConfigError, printable, without_passwords
from . import interrupts, streams
from .errors import StoreError, TrainingError, WorkerError, explain

COMMAND_LINE = ("hydra", "omegaconf", "hydra_plugins", "yaml")  # whose errors are about what was asked for


class ArgumentParser(argparse.ArgumentParser):
    """Explains itself by the docstring of its command, and raises ConfigError instead of exiting."""

    def __init__(self, name: str, docstring: str) -> None:
        """`name` of the command, as in `python -m src.NAME`."""
        super().__init__(
            prog=package.command(name),
            description=docstring.replace(f"python -m src.{name}", package.command(name)),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError."""
        raise ConfigError(f"{message}; see {self.prog} --help")


def run_command(step: Callable[[], int | None]) -> int:
    """What `attempt` does, for a whole command: 1, too, where its output cannot be written."""
    with streams.forgiving():
        code = attempt(step)
        if why := streams.lost():
            print(f"error: {why}", file=sys.stderr)
        return code or (1 if why else 0)


def attempt(step: Callable[[], int | None]) -> int:
    """Take the step, and tell what went wrong in a line; the exit code.

    2 for a mistake of the user's, 1 for an error in the training or the page, 128 and the signal's number for
    an interrupt.
    """
    try:
        try:
            code = step() or 0
        finally:
            interrupts.raise_lost()  # of which the step may have failed
    except interrupts.Interrupted as interrupt:
        interrupts.arrive()
        print(f"\nstopped by {interrupt}", file=sys.stderr)
        return interrupt.exit_code
    except KeyboardInterrupt:
        return 130
    except JobsFailedError as failed:
        print(printable(without_passwords(str(failed))), file=sys.stderr)
        crashes = [each.error for each in failed.failures if isinstance(each.error, TrainingError)]
        if crashes:
            return _crashed(crashes[0])
        return 1 if any(isinstance(each.error, StoreError | WorkerError) for each in failed.failures) else 2
    except TrainingError as error:
        return _crashed(error)
    except Exception as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 2 if _is_mistake(error) else 1
    return code


def _is_mistake(error: Exception) -> bool:
    """Of the user's: found by this project, or in what Hydra reads by it; no worker that was killed."""
    return isinstance(error, ConfigError) or type(error).__module__.partition(".")[0] in COMMAND_LINE


def _crashed(error: Exception) -> int:
    """What is no mistake of the user's is for who looks into the code."""
    text = "".join(traceback.format_exception(error.__cause__ or error))
    print(printable(without_passwords(text)), file=sys.stderr)
    return 1
