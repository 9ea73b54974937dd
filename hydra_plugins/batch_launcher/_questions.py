"""Where a config asks Hydra about its job, as by `${hydra:job.num}`, and what is answered there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf, read_write
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import OmegaConfBaseException

from ._plain import answers, children

_QUESTION = re.compile(r"\$\{\s*hydra\s*:")
_PLAIN_QUESTION = re.compile(r"\$\{hydra:([A-Za-z_][\w.]*)\}")
# Answered without knowing where the job's output would lie, which takes longer to find out.
_ABOUT_JOB = re.compile(
    r"\$\{hydra:(overrides\.task|job\.(num|id|override_dirname)|mode|runtime\.choices\.\w+)\}"
)

# A container, a key in it and the interpolation that stands there.
Question = tuple[BaseContainer, Any, str]


def is_question(text: str) -> bool:
    """Whether one stands in it."""
    return bool(_QUESTION.search(text))


def is_about_job(question: str) -> bool:
    """Whether it is answered without knowing where the job's output would lie."""
    return bool(_ABOUT_JOB.fullmatch(question))


def questions(container: BaseContainer) -> Iterator[Question]:
    """Yield where in the config Hydra is asked about the job."""
    for key, node in children(container):
        if node._is_interpolation():
            if is_question(node._value()):
                yield container, key, node._value()
        elif isinstance(node, BaseContainer):
            yield from questions(node)


def answer(asked: Iterable[Question]) -> None:
    """Put Hydra's answers into the config. What it cannot answer fails when read, as ever."""
    for container, key, question in asked:
        path = _PLAIN_QUESTION.fullmatch(question)
        with suppress(OmegaConfBaseException), read_write(container):
            # The first is what OmegaConf would do, too, after half a millisecond of parsing.
            hydra: Any = HydraConfig.get()
            found = OmegaConf.select(hydra, path[1]) if path else container[key]
            if isinstance(found, BaseContainer):
                # Interpolations within mean something only where the answer came from.
                found = OmegaConf.to_container(found, resolve=True)
            container[key] = found


def answer_at_once(asked: list[Question], overrides: list[str], number: int) -> bool:
    """Answer what needs no `hydra` node; return False, with nothing done, if any question does."""
    known = answers(overrides, number)
    if not all(question in known for _, _, question in asked):
        return False
    for container, key, question in asked:
        with read_write(container):
            container[key] = known[question]
    return True
