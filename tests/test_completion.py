"""The Tab key in a real bash, for the command of a checkout and for the installed one."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

PATIENCE_S = 120  # for a busy machine
TYPED = {
    "normalization=z": "normalization=zscore",
    "-m lr=1e-2,1e-3 norm": "normalization",
    "model=stein": "model=steinhart_hart",
    "data.target_u": "data.target_unit=",
}

pytestmark = pytest.mark.slow


def shown_until(master: int, expected: str) -> str:
    """What bash writes to its terminal until that is among it."""
    told, deadline = "", time.monotonic() + PATIENCE_S
    while expected not in told and time.monotonic() < deadline:
        if select.select([master], [], [], 1)[0]:
            told += os.read(master, 4096).decode(errors="replace").replace("\a", "")  # the bell
    return told


@pytest.mark.parametrize("called", ["python -m src.train", "calibrate train"])
def test_tab_completes_settings(called: str, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    places = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": places, "PYTHONPATH": str(ROOT), "PS1": "", "TERM": "dumb"}
    bash = subprocess.Popen(["bash", "--norc", "--noprofile", "-i"], cwd=tmp_path, env=environment,
                            stdin=slave, stdout=slave, stderr=slave, start_new_session=True)  # fmt: skip
    try:
        os.write(master, f'eval "$({called} -sc install=bash)"; echo rea""dy\n'.encode())
        assert "ready" in shown_until(master, "ready")
        for typed, expected in TYPED.items():
            os.write(master, f"{called} {typed}\t".encode())
            assert f"{called} {typed[: typed.rfind(' ') + 1]}{expected}" in shown_until(master, expected)
            os.write(master, b"\x15\n")  # clears the line
        os.write(
            master, f'eval "$({called} -sc uninstall=bash)"; type -t _calibrate_train; echo go""ne\n'.encode()
        )
        assert "function" not in shown_until(master, "gone")
    finally:
        bash.kill()
        bash.wait()
        os.close(master)
        os.close(slave)
