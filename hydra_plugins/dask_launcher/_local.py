"""What the workers of this machine import as they start."""

from __future__ import annotations

import signal


def dask_setup(worker: object) -> None:
    """Ctrl-C at a terminal, and its closing, reach all its processes: they are the client's to answer."""
    del worker
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
