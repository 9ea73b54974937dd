"""What Hydra discovers: the sweeper and its settings.

No `from __future__ import annotations` here: Hydra executes the module before it is in `sys.modules`, where a
dataclass would look up its annotations' names.
"""

from dataclasses import dataclass

from hydra._internal.core_plugins import basic_sweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from hydra.utils import get_method


@dataclass
class GridSweeperConf(basic_sweeper.BasicSweeperConf):
    """Settings under `hydra.sweeper`."""

    _target_: str = "hydra_plugins.grid_sweeper.grid_sweeper.GridSweeper"
    # Dotted path of a function from the grid's points, each a list of overrides, to those to run; null: all.
    points: str | None = None


ConfigStore.instance().store(
    group="hydra/sweeper", name="base_grid", node=GridSweeperConf, provider="grid_sweeper"
)


class GridSweeper(basic_sweeper.BasicSweeper):
    """Every combination of the values that are given, as far as `points` keeps it."""

    def __init__(
        self,
        max_batch_size: int | None = None,
        params: dict[str, str] | None = None,
        points: str | None = None,
    ) -> None:
        """Take the settings of `GridSweeperConf`."""
        super().__init__(max_batch_size, params)
        self.points = points

    def split_arguments(  # type: ignore[override]  # theirs knows no settings
        self, overrides: list[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        """The points to run, in batches."""
        chosen = grid(overrides, self.points)
        return list(self.split_overrides_to_chunks(chosen, max_batch_size)) if chosen else [[]]


def grid(overrides: list[Override], points: str | None = None) -> list[list[str]]:
    """Every combination of the values, as far as the function with the dotted path `points` keeps it."""
    [found] = basic_sweeper.BasicSweeper.split_arguments(overrides, None)
    return list(get_method(points)(found)) if points else found
