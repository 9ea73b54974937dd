"""The tags of where and by whom a run was started: git, which may be slow or broken."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from src.tracking import started
from src.tracking.started import LONGEST_GIT_S, common_tags

GITS = {
    "hangs": "sleep 60",
    "fails": "exit 1",
    "answers garbage": r"printf '\377\000# branch.oid HEAD\n'",
    "has no commit yet": "echo '# branch.oid (initial)'",
}


@pytest.mark.parametrize("script", GITS.values(), ids=GITS)
def test_a_git_that(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs as long as is set, less in this test, and the commit tag."""
    monkeypatch.setattr(started, "LONGEST_GIT_S", 0.2)
    git = tmp_path / "git"
    git.write_text(f"#!/bin/sh\n{script}\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    common_tags.cache_clear()
    begun = time.monotonic()
    tags = common_tags()
    common_tags.cache_clear()
    assert time.monotonic() - begun < 2 * LONGEST_GIT_S
    assert tags.keys() == {"mlflow.user", "mlflow.source.name", "mlflow.source.type"}


def test_the_commit_and_whether_it_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As git says it of a repository of its own."""
    monkeypatch.setattr(started, "__file__", str(tmp_path / "started.py"))

    def git(*command: str) -> str:
        name = ("-c", "user.name=me", "-c", "user.email=me@here")
        return subprocess.run(
            ["git", *name, *command], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    (tmp_path / "a").touch()
    for line in ("init -q", "add a", "commit -qm a"):
        git(*line.split())
    common_tags.cache_clear()
    clean = common_tags()
    (tmp_path / "a").write_text("changed")
    (tmp_path / "untracked").touch()
    common_tags.cache_clear()
    changed = common_tags()
    common_tags.cache_clear()
    assert (
        clean["mlflow.source.git.commit"] == changed["mlflow.source.git.commit"] == git("rev-parse", "HEAD")
    )
    assert (clean["git_dirty"], changed["git_dirty"]) == ("false", "true")
