"""What runs on a worker: it is looked whether the code is the same, then the function is called.

Imported on machines that have no sweep of their own: nothing but the standard library at the top.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
import threading
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module, util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_stopped: set[str] = set()  # the launches that their clients have given up
_one_at_a_time = threading.Lock()  # a function may set what is the process's


class MismatchError(Exception):
    """This worker does not have the code or the packages that the sweep was started with."""


def pack(value: object) -> bytes:
    """Pickled and compressed: a batch's jobs are much alike."""
    return zlib.compress(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))


def unpack(packed: bytes) -> Any:
    """What was packed."""
    return pickle.loads(zlib.decompress(packed))


def work(launch: str, function: str, needed: Mapping[str, str], packed: bytes) -> bytes:
    """What the function of this dotted path makes of what was packed, or the error it ends with; packed."""
    try:
        here = identity(function, tuple(key for key in needed if key not in ("python", "code")))
        if unlike := differences(here, needed):
            from distributed import get_worker

            raise MismatchError(
                f"the worker at {get_worker().address} has {unlike}: install there what is here"
            )
        module, _, name = function.rpartition(".")
        called = getattr(import_module(module), name)
        with _one_at_a_time:
            result = called(unpack(packed), _stop(launch))
    except Exception as error:  # as a result: raised, every worker's log would tell it with a traceback
        result = _picklable(error)
    return pack(result)


def _stop(launch: str) -> Callable[[], bool]:
    """Whether nobody waits for this task any more: its client said so or is gone, or the scheduler is."""
    from distributed import Status, get_worker

    worker = get_worker()
    key = worker.get_current_task()
    tasks: Any = worker.state.tasks

    def stop() -> bool:
        task = tasks.get(key)
        is_wanted = task is not None and task.state != "cancelled"
        return launch in _stopped or not is_wanted or worker.status in (Status.closing, Status.closed)

    return stop


def stop(launch: str) -> None:
    """Called on every worker, beside its task: this launch's functions are to come to an end."""
    _stopped.add(launch)


def _picklable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


@cache  # as first seen: a process that is running does not have what is changed on disk later
def identity(function: str, packages: tuple[str, ...]) -> dict[str, str]:
    """Python's version, the packages', and a digest of the code around a function of a dotted path."""
    return {
        "python": ".".join(map(str, sys.version_info[:2])),
        "code": _digest(function.partition(".")[0]),
        **{name: _version(name) for name in packages},
    }


def differences(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """What is another there than here; empty for nothing."""
    return ", ".join(
        f"{key} {there.get(key)} (here {value})" for key, value in here.items() if there.get(key) != value
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _digest(package: str) -> str:
    """12 hex digits of all its sources, `none` where it cannot be imported."""
    spec = util.find_spec(package)
    if spec is None or spec.origin is None:
        return "none"
    file = Path(spec.origin)
    sources = sorted(file.parent.rglob("*.py")) if spec.submodule_search_locations else [file]
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.relative_to(file.parent).as_posix().encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:12]
