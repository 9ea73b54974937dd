"""A sweep's parent run: one for all its jobs, under any launcher.

The jobs of one sweep share a folder (`CALIBRATION_SWEEP_DIR`, made and removed by the command). The first
job to record something makes the parent under a lock there and leaves its id; the launching process
ends it.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from omegaconf import DictConfig, OmegaConf

from . import reader
from .record import (
    LONGEST_NAME,
    LONGEST_TAG,
    NOTE,
    Status,
    TrackedRun,
    common_tags,
    cut,
    dataset_record,
)
from .selection import Selection
from .store import Store, open_store
from .writer import dataset_input

if TYPE_CHECKING:
    from ..fit.plan import Run


@dataclass(frozen=True)
class Marker:
    """What the maker of a parent leaves in the folder."""

    experiment: str
    parent_id: str
    register: str | None


@dataclass(frozen=True)
class Sweep:
    """A parent run that was begun, in the folder that its jobs share."""

    store: Store
    parent_id: str
    folder: Path

    @classmethod
    def of(cls, marker: Marker, folder: Path) -> Sweep:
        """The sweep behind a marker, its store opened."""
        return cls(open_store(marker.experiment), marker.parent_id, folder)

    def runs(self) -> list[TrackedRun]:
        """The sweep's runs, in no order."""
        return reader.runs(self.store, Selection(sweep=self.name))

    @property
    def name(self) -> str:
        """What its runs are tagged with."""
        return self.folder.name

    @property
    def title(self) -> str:
        """The parent's name."""
        return _title(self.folder)

    def end(self, status: Status, page: Path) -> None:
        """Log the page's files and the config that repeats the sweep; no longer RUNNING.

        The page's `note.md` is the sweep's description.
        """
        client = self.store.client
        try:
            (page / "sweep.yaml").write_text(_repeating(self.folder), "utf-8")
            client.log_artifacts(self.parent_id, str(page))
            note = page / "note.md"
            if note.exists():
                client.set_tag(self.parent_id, NOTE, cut(note.read_text("utf-8"), LONGEST_TAG))
        finally:
            client.set_terminated(self.parent_id, status, int(time.time() * 1000))


def begun(folder: Path) -> list[Marker]:
    """The parents that the jobs sharing this folder have made: one per experiment."""
    return [Marker(**json.loads(path.read_text())) for path in sorted(folder.glob("parent-*.json"))]


def parent_run(store: Store, folder: Path, run: Run) -> str:
    """The id of the parent, in this run's experiment, of its sweep: made by whoever comes first."""
    marker = folder / f"parent-{store.experiment_id}.json"
    with FileLock(folder / "parent.lock"):
        if marker.exists():
            return str(json.loads(marker.read_text())["parent_id"])
        overrides = cut(" ".join(_overrides(folder)), LONGEST_TAG)
        tags = {**common_tags(), "sweep": folder.name, "overrides": overrides}
        parent_id: str = store.client.create_run(
            store.experiment_id, tags=tags, run_name=_title(folder)
        ).info.run_id
        begun = Marker(run.settings.tracking.experiment, parent_id, run.settings.register_as)
        marker.write_text(json.dumps(asdict(begun)))
        # A dataset's first logging collides between processes: here only one is at it.
        store.client.log_inputs(parent_id, [dataset_input(dataset_record(run.problem.pairs))])
        return parent_id


def _title(folder: Path) -> str:
    return cut(f"sweep {' '.join(_overrides(folder))}", LONGEST_NAME)


def _composed(folder: Path) -> DictConfig:
    """The config that Hydra swept over, as its sweeper left it in the sweep's folder."""
    path = folder / "multirun.yaml"
    composed = OmegaConf.load(path) if path.exists() else OmegaConf.create()
    assert isinstance(composed, DictConfig)
    return composed


def _overrides(folder: Path) -> list[str]:
    """What the sweep is over, as the command that launched it left it."""
    path = folder / "overrides.json"
    return list(json.loads(path.read_text())) if path.exists() else []


def _repeating(folder: Path) -> str:
    """An experiment file that repeats the sweep even when the defaults have changed since."""
    composed = _composed(folder)
    params = dict(override.split("=", 1) for override in _overrides(folder) if "=" in override)
    swept = {key.lstrip("+~").split(".")[0].split("@")[0] for key in params}
    pinned = {key: composed[key] for key in composed if key not in {"hydra", "overrides", *swept}}
    config = OmegaConf.create({**pinned, "hydra": {"sweeper": {"params": params}}})
    return (
        f"# @package _global_\n# Repeats the sweep {folder.name}. Save it as "
        "conf/experiment/NAME.yaml, then: python -m src.train -m +experiment=NAME\n"
        + OmegaConf.to_yaml(config)
    )
