"""What is asked of a cluster, and that it cannot be had."""

from __future__ import annotations

from dataclasses import dataclass


class ClusterError(Exception):
    """The cluster cannot be used: says what was seen, and what to do."""


@dataclass(frozen=True)
class Wanted:
    """The launcher's settings, as they are called there; `work` is the function's dotted path."""

    work: str
    scheduler: str | None
    workers: int | None
    attempts: int
    resources: dict[str, float]
    packages: tuple[str, ...]
    wait_s: float
