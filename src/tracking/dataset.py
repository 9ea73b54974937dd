"""What a run was trained on: MLflow's dataset input, and what is to be known of it later."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..data import Floats, Pairs
from ..formula import Ranges
from ..workplace import digest
from .limits import LONGEST_DATASET_NAME, cut

if TYPE_CHECKING:
    from .record import TrackedRun


@dataclass(frozen=True)
class DataSummary:
    """What is to be known of a run's data beside its settings."""

    observations: int
    largest_target: float  # without its sign

    @classmethod
    @lru_cache(maxsize=1024)
    def of(cls, profile: str | None) -> DataSummary | None:
        """From a dataset's profile; None for another program's."""
        try:
            found = json.loads(profile or "")
            target = found["target"]
            return cls(int(found["num_rows"]), max(abs(float(target["min"])), abs(float(target["max"]))))
        except (KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True)
class DatasetRecord:
    """A file of pairs as MLflow's dataset input."""

    name: str
    digest: str
    source: str
    schema: str
    profile: str

    @cached_property
    def ranges(self) -> Ranges | None:
        """The least and the largest reading and true value; None where they are not on record."""
        try:
            profile = json.loads(self.profile)
            readings, truths = profile["input"], profile["target"]
            return (readings["min"], readings["max"]), (truths["min"], truths["max"])
        except (KeyError, TypeError, ValueError):
            return None


@lru_cache(maxsize=128)
def dataset_record(pairs: Pairs) -> DatasetRecord:
    """The dataset of a run: the file's name, the columns and the range that they cover.

    The digest is of all that, since MLflow holds one dataset for a name and a digest.
    """
    settings, profile = pairs.settings, _profile(pairs)
    return DatasetRecord(
        name=cut(Path(settings.path).stem, LONGEST_DATASET_NAME),
        digest=digest(pairs.digest + profile),
        source=json.dumps({"uri": settings.path}),
        schema=json.dumps(
            {
                "mlflow_colspec": [
                    {"type": "double", "name": name, "required": True}
                    for name in (settings.input, settings.target)
                ]
            }
        ),
        profile=profile,
    )


def is_trained_on(run: TrackedRun, pairs: Pairs) -> bool:
    """Whether a run was trained on these readings; an older one, whether on this very file."""
    return run.data_digest in (pairs.digest, digest(pairs.file_digest + _profile(pairs)))


def _profile(pairs: Pairs) -> str:
    settings = pairs.settings
    columns = {
        "input": _column(settings.input, settings.input_unit, pairs.t_u),
        "target": _column(settings.target, settings.target_unit, pairs.t_c),
    }
    return json.dumps({"num_rows": len(pairs.t_u), **columns})


def _column(name: str, unit: str, values: Floats) -> dict[str, str | float]:
    return {"name": name, "unit": unit, "min": float(values.min()), "max": float(values.max())}
