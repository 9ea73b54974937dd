"""The launcher seen from outside: found from any folder, quiet in a pipe, talking to a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

APP = """
import hydra

def evaluate(configs):
    return [ValueError(f"x={c.x} is too much") if c.x > 3 else c.x**2 for c in configs]

@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(config):
    print("ran", config.x)

if __name__ == "__main__":
    main()
"""
# A project's own file of the launcher's name: it must not set off Hydra's warning about schemas.
LAUNCHER = "defaults: [base_batch]\nfunction: app.evaluate\n"
CONFIG = "defaults: [{override hydra/launcher: batch}]\nx: 1\n"


@pytest.fixture
def app(tmp_path: Path) -> list[str]:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "hydra" / "launcher").mkdir(parents=True)
    (tmp_path / "hydra" / "launcher" / "batch.yaml").write_text(LAUNCHER)
    return [sys.executable, "-W", "error", str(tmp_path / "app.py"), "-m"]


def test_discovered_from_another_folder(tmp_path: Path) -> None:
    script = (
        "from hydra.core.plugins import Plugins\n"
        "print([plugin.__name__ for plugin in Plugins.instance().discover()])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "'BatchLauncher'" in done.stdout
    assert done.stderr == ""


def test_discovery_loads_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys; from hydra.core.plugins import Plugins; Plugins.instance()\n"
        "print([name for name in ('torch', 'rich', 'pandas', 'mlflow', 'dask') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_quiet_where_nobody_watches(app: list[str], tmp_path: Path) -> None:
    done = subprocess.run([*app, "x=1,2,3"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == ""


def test_every_failure_is_reported_and_the_exit_code_tells(app: list[str], tmp_path: Path) -> None:
    done = subprocess.run([*app, "x=range(6)"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        "2 of 6 jobs failed:\n"
        "  job 4 (x=4): ValueError: x=4 is too much\n"
        "  job 5 (x=5): ValueError: x=5 is too much\n"
    ) in done.stderr


def test_the_stock_launcher_stays_one_override_away(app: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [*app, "x=1,9", "hydra/launcher=basic"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if "ran" in line] == ["ran 1", "ran 9"]


def test_a_terminal_sees_a_bar(app: list[str], tmp_path: Path) -> None:
    master, terminal = pty.openpty()
    with subprocess.Popen(
        [*app, "x=1,2,3"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=terminal
    ) as process:
        assert process.wait(timeout=60) == 0
    os.close(terminal)
    shown = os.read(master, 65536).decode()
    os.close(master)
    assert "composing" in shown
    assert "of 3 jobs" in shown
