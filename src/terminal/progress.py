"""What a sweep does while one waits for it, in its order, and how long that takes."""

from __future__ import annotations

from contextlib import AbstractContextManager

from hydra_plugins.batch_launcher import bar

# Seconds, and seconds for each run, on two slow cores: what a bar goes by until it has seen a step itself.
# How long the training takes is in the settings' hands.
EXPECTED_S = {
    "composing": (0.1, 1e-3),
    "checking": (0.0, 5e-4),
    "loading torch and MLflow": (5.0, 0.0),
    "preparing": (0.1, 4e-4),
    "training": None,
    "measuring": (0.1, 4e-4),
    "describing": (0.0, 5e-4),
    "recording": (0.5, 1e-3),
    "ranking the runs": (0.3, 3e-4),
    "opening the page": (0.1, 1e-4),
    "keeping the model": (2.0, 0.0),
    "writing the table": (0.1, 2e-4),
    "drawing": (7.0, 1e-4),
}


def sweep_bar(jobs: int | None) -> AbstractContextManager[None]:
    """The one bar over a sweep of so many jobs, None where its sweeper proposes them as it goes."""
    expected = {
        step: None if cost is None else cost[0] + cost[1] * (jobs or 0) for step, cost in EXPECTED_S.items()
    }
    return bar(jobs, expected)
