"""Hydra's and OmegaConf's errors in one line: what was given, what is allowed, what to do next."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Self, TypeVar

from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from ..config import ConfigError, no_such_setting, one_line, without_passwords
from ..settings import FILLED_IN

LONGEST = 400
OWN = {"data": "data.path=FILE"} | {
    group: f"{group}.function=MODULE.FUNCTION" for group in ("model", "loss", "normalization")
}

# A group that a file of +experiment= names in its defaults as if it were its own
IN_DEFAULTS = re.compile(r"In 'experiment/.*': Could not (find|override) 'experiment/(?P<group>\w+)[/@]")

A = TypeVar("A")
B = TypeVar("B")


class TrainingError(Exception):
    """An error in the training, which is no mistake of the user's; the error itself is its cause."""

    @classmethod
    def of(cls, cause: Exception) -> Self:
        """What a job fails with where its training does."""
        error = cls(without_passwords(f"{type(cause).__name__}: {cause}"))
        error.__cause__ = cause
        return error


class PageError(Exception):
    """What was trained is on record, but something that its page should hold beside is not."""


class StoreError(Exception):
    """The tracking store cannot be written; says what became of what was trained."""


class WorkerError(Exception):
    """What a worker of a cluster was given did not come back: it died, or could not do it."""


class BusyError(Exception):
    """Another process is at work on what was asked for."""


def attempt_each(
    step: Callable[[A], B], given: dict[int, A], reached: Callable[[int], object]
) -> tuple[dict[int, B], dict[int, Exception]]:
    """What the step makes of each, and how it fails: one job's failure is not its neighbours'.

    `reached` is told how many are behind.

    What is no ConfigError is a TrainingError then.
    """
    made: dict[int, B] = {}
    failed: dict[int, Exception] = {}
    for behind, (index, one) in enumerate(given.items(), start=1):
        try:
            made[index] = step(one)
        except ConfigError as error:
            failed[index] = error
        except Exception as error:
            failed[index] = TrainingError.of(error)
        reached(behind)
    return made, failed


def explain(error: BaseException) -> str:
    """One line on a mistake in the command line or in a config file.

    Hydra's errors are known by what they carry: only the commands import Hydra itself.
    """
    if isinstance(error, ConfigError):
        return one_line(error)
    cause = error.__cause__
    if options := getattr(error, "options", None):  # MissingConfigException
        named = getattr(error, "missing_cfg_file", "")
        group, _, choice = named.partition("/") if named.startswith("data/") else named.rpartition("/")
        own = f", or {OWN[group]} for one of your own" if group in OWN else ""
        return f"{group}={choice} is not allowed: give {' or '.join(sorted(options))}{own}"
    if override := getattr(error, "override", None):  # OverrideParseException
        return f"{override!r} cannot be read: {_grammar(str(error))}"
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.full_key:
        parent = cause.parent_node
        names = [str(key) for key in parent] if isinstance(parent, DictConfig) else []
        return no_such_setting(str(cause.full_key), [n for n in names if n not in (*FILLED_IN, "hydra")])
    text = one_line(error).partition(" Config search path:")[0] or type(error).__name__
    if found := IN_DEFAULTS.match(text):
        return f"{text.rstrip('.')}: write override /{found['group']}: CHOICE"
    if type(error).__name__ == "InstantiationException" and cause:
        return one_line(cause)
    if isinstance(cause, OmegaConfBaseException):
        text = f"{text}: {str(cause).splitlines()[0]}"
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _grammar(message: str) -> str:
    """The parser's complaint without its list of tokens and its link."""
    message = re.sub(r"Error parsing override '.*'\n", "", message)
    message = re.sub(r"\s*See https?://\S+ for details", "", message)
    message = re.sub(r" expecting \{.*\}", "", message, flags=re.DOTALL)
    message = " ".join(re.sub(r"\w+Exception: .*", "", message, flags=re.DOTALL).split())
    rule = "write KEY=VALUE, and what has special characters as 'KEY=\"VALUE\"'"
    return f"{message}; {rule}" if message else rule
