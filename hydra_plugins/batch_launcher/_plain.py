"""A config as plain data, with the answers to what it asks about its job: what it resolves to, uncomposed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Self

from omegaconf import DictConfig, Node, OmegaConf
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import OmegaConfBaseException


@dataclass(frozen=True, slots=True)
class PlainData:
    """What jobs have in common, and where each has an answer of its own: at a path, to a question."""

    content: dict[Any, Any]
    questions: list[tuple[list[Any], str]]

    @classmethod
    def of(cls, config: DictConfig) -> Self | None:
        """None of a config where something else is interpolated, or missing."""
        found = [(path, node._value()) for path, node in _interpolations(config)]
        if not all(question in answers([], 0) for _, question in found):
            return None
        try:
            content = OmegaConf.to_container(config, throw_on_missing=True)
        except OmegaConfBaseException:
            return None
        assert isinstance(content, dict)
        return cls(content, found)

    def answered(self, overrides: list[str], number: int) -> dict[Any, Any]:
        """For a job; what it does not change is shared with the others."""
        data = dict(self.content)
        known = answers(overrides, number)
        for path, question in self.questions:
            put(data, path, known[question])
        return data


def is_plain(value: Any) -> bool:
    """Whether a setting that is given it has just this value: no interpolation, nothing missing."""
    if isinstance(value, str):
        return "$" not in value and value != "???"
    return value is None or isinstance(value, int | float)


def put(data: Any, path: Sequence[Any], value: Any) -> None:
    """Put a value there, into copies of the mappings and lists on the way."""
    *way, last = path
    for key in way:
        data[key] = copy(data[key])
        data = data[key]
    data[last] = value


def answers(overrides: list[str], number: int) -> dict[str, Any]:
    """What can be answered about a job without its `hydra` node."""
    return {
        "${hydra:overrides.task}": overrides,
        "${hydra:job.num}": number,
        "${hydra:job.id}": str(number),
    }


def children(container: BaseContainer) -> Iterable[tuple[Any, Node]]:
    """The nodes right in a container, by key or place."""
    content = container._content
    if isinstance(content, dict):
        return content.items()
    return enumerate(content) if isinstance(content, list) else ()


def _interpolations(container: BaseContainer) -> Iterator[tuple[list[Any], Node]]:
    for key, node in children(container):
        if node._is_interpolation():
            yield [key], node
        elif isinstance(node, BaseContainer):
            yield from (([key, *path], within) for path, within in _interpolations(node))
