"""What failed in a sweep, as data: every failing job with its error, in one exception."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.utils import JobReturn, JobStatus


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


class FailedJob(JobReturn):
    """A failed job among others: who looks at its value learns of them all.

    Hydra's own would write a line to stderr for the one that a sweeper looks at first.
    """

    def __init__(self, job: JobReturn, all_failed: JobsFailedError) -> None:
        self.__dict__.update(job.__dict__)
        self.all_failed = all_failed

    @property
    def return_value(self) -> Any:
        """Raises JobsFailedError, from what this job raised."""
        raise self.all_failed from self._return_value

    @return_value.setter
    def return_value(self, value: Any) -> None:
        self._return_value = value


def with_failures(jobs: Sequence[JobReturn], first: int, untold: Collection[str]) -> list[JobReturn]:
    """The jobs of one launch, numbered from `first`, the failed ones as FailedJob.

    Overrides of the `untold` keys are the same for all jobs, or the application's own.
    """
    failures = [
        Failure(
            number, tuple(one for one in job.overrides or () if _key(one) not in untold), job._return_value
        )
        for number, job in enumerate(jobs, first)
        if job.status is JobStatus.FAILED
    ]
    told = JobsFailedError(failures, len(jobs))
    return [FailedJob(job, told) if job.status is JobStatus.FAILED else job for job in jobs]


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")
