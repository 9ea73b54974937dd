"""A composed sweep over the tests' own config tree, as a launcher meets it."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.types import RunMode
from omegaconf import DictConfig

from hydra_plugins.batch_launcher._compose import SweepLoader

CONF = Path(__file__).parent / "conf"


class Color(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass
class Typed:
    count: int = 1
    rate: float | None = None
    color: Color = Color.RED
    either: int | str = 3
    size: tuple[int, int] = (1, 2)
    words: list[str] = field(default_factory=lambda: ["a", "b"])
    table: dict[str, int] = field(default_factory=lambda: {"x": 1})


@dataclass(frozen=True)
class Frozen:
    fixed: int = 1


class CountingLoader(SweepLoader):
    """Counts the full compositions."""

    compositions = 0

    def load_configuration(self, *args: Any, **kwargs: Any) -> DictConfig:
        self.compositions += 1
        return super().load_configuration(*args, **kwargs)


@dataclass
class Sweep:
    """A sweep's own config, Hydra's loader for its jobs, and the quick one."""

    master: DictConfig
    stock: ConfigLoaderImpl

    def quick(self) -> CountingLoader:
        return CountingLoader(self.stock.get_search_path(), self.master)


@pytest.fixture(autouse=True)
def _no_config_of_another_command() -> None:
    """Hydra's own answers, `--cfg` and completion, leave theirs behind in the process."""
    HydraConfig.instance().cfg = None


@contextmanager
def own_singletons() -> Iterator[None]:
    """Whatever Hydra remembers for the whole process, it forgets again afterwards."""
    # Before the copy: the plugins put their configs into a store that must not be lost.
    Plugins.instance()
    state = deepcopy(Singleton.get_state())
    try:
        yield
    finally:
        Singleton.set_state(state)


@pytest.fixture(scope="module")
def sweep() -> Iterator[Sweep]:
    with composed("config") as found:
        yield found


@pytest.fixture(scope="module")
def plain_sweep() -> Iterator[Sweep]:
    """Over the config whose jobs' data are known without composing."""
    with composed("plain") as found:
        yield found


@contextmanager
def composed(name: str) -> Iterator[Sweep]:
    with own_singletons():
        store = ConfigStore.instance()
        store.store(group="schema", name="typed", node=Typed)
        store.store(group="schema", name="frozen", node=Frozen)
        GlobalHydra.instance().clear()  # of the other
        with initialize_config_dir(str(CONF), "tried", version_base="1.3"):
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            loader = hydra.config_loader
            assert isinstance(loader, ConfigLoaderImpl)
            master = loader.load_configuration(
                name, ["hydra.mode=MULTIRUN", "hydra.sweep.dir=/swept"], RunMode.MULTIRUN
            )
            yield Sweep(master, loader)
