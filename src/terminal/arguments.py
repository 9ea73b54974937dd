"""What `compare` and `predict` have in common as commands: how they read arguments and answer."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from ..config import ConfigError, one_line


class ArgumentParser(argparse.ArgumentParser):
    """Explains itself by the docstring of its command, and raises ConfigError instead of exiting."""

    def __init__(self, module: str, docstring: str) -> None:
        """`module` is called as `python -m MODULE`."""
        super().__init__(
            prog=f"python -m {module}",
            description=docstring,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError."""
        raise ConfigError(f"{message}; see {self.prog} --help")


def answer(step: Callable[[], object]) -> int:
    """Take the step; the exit code: 2 for a mistake, told in one line, 130 for Ctrl-C."""
    try:
        step()
        sys.stdout.flush()
    except ConfigError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # who reads the output, like `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
