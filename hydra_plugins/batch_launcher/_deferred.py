"""Configs that are composed when they are looked at, and what is known of them before.

Thousands of jobs each have a config that hardly anybody ever reads but for its data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig


class Deferred(DictConfig):
    """A config that composes itself when first looked at, and is a plain DictConfig from then on.

    `data` gives what it will hold, where that is known without composing.
    """

    def __init__(
        self, compose: Callable[[], DictConfig], data: Callable[[], dict[Any, Any]] | None = None
    ) -> None:
        state = object.__getattribute__(self, "__dict__")
        state["compose"], state["data"] = compose, data

    def __getattribute__(self, name: str) -> Any:
        state = object.__getattribute__(self, "__dict__")
        composed = state["compose"]()
        state.clear()
        state.update(composed.__dict__)
        object.__setattr__(self, "__class__", DictConfig)
        self._re_parent()
        return getattr(self, name)


def plain_data(config: DictConfig) -> dict[Any, Any] | None:
    """What `OmegaConf.to_container(config, resolve=True)` would give, to read and not to change.

    Of a job's config that differs from the sweep's by plain values alone, as long as nobody has looked at it:
    jobs share what they have in common. Of any other None.
    """
    if type(config) is not Deferred:
        return None
    data = object.__getattribute__(config, "__dict__")["data"]
    return None if data is None else data()
