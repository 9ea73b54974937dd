"""How a command begins and ends: its arguments, its exit code, and what went wrong in a line."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from hydra_plugins.batch_launcher import JobsFailedError

from .. import package
from ..config import ConfigError, without_passwords
from .errors import BusyError, PageError, StoreError, TrainingError, explain
from .interrupts import Interrupted


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
    """Take the step, and tell what went wrong in a line; the exit code.

    2 for a mistake of the user's, 1 for an error in the training or the page, 128 and the signal's number for
    an interrupt.
    """
    try:
        code = step() or 0
        sys.stdout.flush()
    except Interrupted as interrupt:
        print(f"\nstopped by {interrupt}", file=sys.stderr)
        return interrupt.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # who reads the output, like `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except JobsFailedError as failed:
        print(failed, file=sys.stderr)
        crashes = [each.error for each in failed.failures if isinstance(each.error, TrainingError)]
        if crashes:
            return _crashed(crashes[0])
        return 1 if any(isinstance(each.error, StoreError) for each in failed.failures) else 2
    except TrainingError as error:
        return _crashed(error)
    except (PageError, BusyError, StoreError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Exception as error:  # a mistake, or Hydra refuses the command line
        print(f"error: {explain(error)}", file=sys.stderr)
        return 2
    return code


def _crashed(error: Exception) -> int:
    """What is no mistake of the user's is for who looks into the code."""
    print(without_passwords("".join(traceback.format_exception(error.__cause__ or error))), file=sys.stderr)
    return 1
