"""What failed in a sweep, as data: every failing job with its error, in one exception.

Without an import of Hydra, so that whoever catches it does not wait for Hydra.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """A job that failed: its number in the sweep, what it was given, and the error that ended it."""

    number: int
    overrides: tuple[str, ...]
    error: Exception


class JobsFailedError(Exception):
    """Some of a sweep's jobs failed. As text it names every one, those with the same error together."""

    def __init__(self, failures: Sequence[Failure], jobs: int) -> None:
        """`jobs`: how many were launched."""
        super().__init__(failures, jobs)
        self.failures = failures
        self.jobs = jobs

    def __str__(self) -> str:
        alike: dict[str, list[Failure]] = {}
        for failure in self.failures:
            alike.setdefault(f"{type(failure.error).__name__}: {failure.error}", []).append(failure)
        lines = [f"{len(self.failures)} of {self.jobs} jobs failed:"]
        for error, (first, *more) in alike.items():
            others = f" and {len(more)} more" if more else ""
            line = f"job {first.number} ({' '.join(first.overrides)}){others}: {error}"
            lines.append("  " + line.replace("\n", "\n    "))
        return "\n".join(lines)
