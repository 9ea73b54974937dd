"""Which runs pass a filter: MLflow's search syntax, in which a param may be a number.

MLflow's params are texts and refuse `<`. A condition on a param's number, or on a param, metric or tag by its
name alone (`lr < 0.01`, `outcome = 'converged'`), looks at what was read; every other condition is MLflow's.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlflow.utils.search_utils import SearchUtils

from ..config import ConfigError
from ..spelling import natural
from .ranking import value
from .record import TrackedRun

AND = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|\s+(and)\s+""", re.IGNORECASE)
# == is =, as in Python
CONDITION = re.compile(
    r"""\s*(?P<param>param(eter)?s?\s*\.\s*)?(?P<key>\w+|`[^`]+`|"[^"]+")
    \s*(=(?==))?(?P<sign><=|>=|!=|=|<|>)\s*(?P<value>'[^']*'|"[^"]*"|[^\s'"=<>]+)\s*""",
    re.VERBOSE,
)
SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
         "=": operator.eq, "!=": operator.ne}  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """What a run's param has to be, or where `is_any` a metric or a tag of that name."""

    key: str
    sign: str
    value: str
    is_any: bool

    def passes(self, run: TrackedRun) -> bool:
        """Numbers as numbers; what is not on record passes nothing. Raises ConfigError for a text by `<`."""
        wanted = natural(self.value)
        if wanted[1] and self.sign not in ("=", "!="):
            raise ConfigError(f"{self.key} {self.sign} {self.value}: {self.sign} takes a number")
        found = value(run, self.key) if self.is_any and not wanted[1] else None
        if found is None and (text := self._text(run)) is not None:
            found = natural(text)
        if found is None:
            return False
        if bool(found[1]) != bool(wanted[1]):  # a text beside a number
            return self.sign == "!="
        return bool(SIGNS[self.sign](found, wanted))

    def is_of(self, run: TrackedRun) -> bool:
        """Whether it says anything of a run."""
        return self._text(run) is not None or (self.is_any and self.key in run.metrics)

    def _text(self, run: TrackedRun) -> str | None:
        return run.params.get(self.key, run.tags.get(self.key) if self.is_any else None)


def read(filter: str) -> tuple[str, list[Condition]]:
    """What of a filter is MLflow's, in its syntax, and the other conditions.

    >>> read("params.model = 'linear' and lr < 0.01 and metrics.loss < 3")[0]
    "params.model = 'linear' and metrics.loss < 3"
    >>> read("lr < 0.01")
    ('', [Condition(key='lr', sign='<', value='0.01', is_any=True)])
    """
    theirs, ours = [], []
    for clause in _clauses(filter):
        found = CONDITION.fullmatch(clause)
        if found and _is_ours(found):
            key, text = (found[each].strip("'\"`") for each in ("key", "value"))
            ours.append(Condition(key, found["sign"], text, not found["param"]))
        else:
            theirs.append(clause.strip())
    return " and ".join(theirs), ours


def passing(runs: Sequence[TrackedRun], conditions: Sequence[Condition]) -> list[TrackedRun]:
    """The runs that pass them all; raises ConfigError for a key that none of them has."""
    for each in conditions:
        if runs and not any(map(each.is_of, runs)):
            raise ConfigError(f"--filter {each.key}: no run has that; give one of {', '.join(known(runs))}")
    return [run for run in runs if all(each.passes(run) for each in conditions)]


def known(runs: Sequence[TrackedRun]) -> list[str]:
    """What runs can be filtered by."""
    return list(dict.fromkeys(key for run in runs for key in (*run.params, *run.metrics)))


def _is_ours(found: re.Match[str]) -> bool:
    if not found["param"]:
        return found["key"].strip('`"') not in SearchUtils.VALID_SEARCH_ATTRIBUTE_KEYS
    number, _ = natural(found["value"].strip("'\""))
    return found["sign"] not in ("=", "!=") or number < math.inf


def _clauses(filter: str) -> Iterator[str]:
    start = 0
    for found in AND.finditer(filter):
        if found[1]:
            yield filter[start : found.start()]
            start = found.end()
    if filter.strip():
        yield filter[start:]
