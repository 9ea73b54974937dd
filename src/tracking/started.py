"""Where a run was started: the user, the program, the commit of its code."""

from __future__ import annotations

import getpass
import re
import subprocess
from functools import cache
from pathlib import Path

from ..package import IS_CHECKOUT, NAME

LONGEST_GIT_S = 2.0  # a disk that is far away, a hook that asks: the commit is not worth more


@cache
def common_tags() -> dict[str, str]:
    """What a run inherits from where it was started: the user, the program, the commit."""
    tags = {
        "mlflow.user": _user(),
        "mlflow.source.name": f"{NAME}.train",
        "mlflow.source.type": "LOCAL",
    }
    return tags | _commit()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def _commit() -> dict[str, str]:
    """The commit of this code, and whether it was changed since; nothing where git does not say."""
    said = _git("status", "--porcelain=v2", "--branch", "--no-ahead-behind", "--untracked-files=no")
    commit = re.search(r"^# branch\.oid ([0-9a-f]{40,64})$", said, re.MULTILINE)
    if not commit:
        return {}
    is_dirty = any(not line.startswith("#") for line in said.splitlines())
    return {"mlflow.source.git.commit": commit[1], "git_dirty": str(is_dirty).lower()}


def _git(*command: str) -> str:
    """What git says of this code; empty where there is no git, it hangs, or the code is no checkout.

    An installed package may lie within another project's.
    """
    if not IS_CHECKOUT:
        return ""
    try:
        answer = subprocess.run(
            ["git", "--no-optional-locks", *command],
            cwd=Path(__file__).parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LONGEST_GIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout if answer.returncode == 0 else ""
