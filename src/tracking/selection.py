"""Which runs of a store are meant."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Selection:
    """The runs of a sweep, or of these ids, or all; of those, the ones that pass the filter.

    The filter is in MLflow's search syntax.
    """

    sweep: str = ""
    run_ids: tuple[str, ...] = ()
    filter: str = ""

    def as_filter(self) -> str:
        """All of it in MLflow's search syntax."""
        clauses = []
        if self.sweep:
            clauses.append(f"tags.sweep = {quoted(self.sweep)}")
        if self.run_ids:
            clauses.append(f"attributes.run_id IN ({', '.join(map(quoted, self.run_ids))})")
        if self.filter:
            clauses.append(self.filter)
        return " and ".join(clauses)


def quoted(text: str) -> str:
    """A value in MLflow's search syntax, which knows no escapes."""
    return f'"{text}"' if "'" in text else f"'{text}'"
