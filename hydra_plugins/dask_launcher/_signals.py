"""Ctrl-C and its like while a cluster is at work: noted, and told on once the work there has ended."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from hydra_plugins.batch_launcher import Stop, handling


@contextmanager
def held() -> Iterator[Stop]:
    """Inside, signals only set the flag that is yielded; at the end the last goes to its old handler.

    So none can strike between a batch's return and its record.
    """
    flag = Stop()
    try:
        with handling(flag):
            yield flag
    finally:
        if flag.signum is not None:
            signal.raise_signal(flag.signum)
