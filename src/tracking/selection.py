"""Which runs of a store are meant."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from .filter import Condition, read


@dataclass(frozen=True)
class Selection:
    """The runs of a sweep, or of these ids, or all; of those, the ones that pass the filter.

    The filter is in MLflow's search syntax, see `filter.py`.
    """

    sweep: str = ""
    run_ids: tuple[str, ...] = ()
    filter: str = ""

    @cached_property
    def conditions(self) -> list[Condition]:
        """What of the filter MLflow does not know."""
        return read(self.filter)[1]

    @property
    def filter_for_mlflow(self) -> str:
        """The rest of it."""
        return read(self.filter)[0]

    def as_filter(self) -> str:
        """All that MLflow knows of it, in its search syntax."""
        clauses = []
        if self.sweep:
            clauses.append(f"tags.sweep = {quoted(self.sweep)}")
        if self.run_ids:
            clauses.append(f"attributes.run_id IN ({', '.join(map(quoted, self.run_ids))})")
        if self.filter_for_mlflow:
            clauses.append(self.filter_for_mlflow)
        return " and ".join(clauses)


def quoted(text: str) -> str:
    """A value in MLflow's search syntax, which knows no escapes."""
    return f'"{text}"' if "'" in text else f"'{text}'"
