"""The docs site: it builds, no link in it is broken, and the notebook in it has run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from src.manual import for_readme
from tests.conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what is there; the notebook's cells run, and the first assertion that fails ends it."""
    folder = tmp_path_factory.mktemp("site")
    # not -q: it hides warnings from --strict, too
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)]
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        build,
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=590,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_claim_of_the_chapter_holds(site: Path) -> None:
    """Its last cell has run, and nothing was said on the error stream: a learner sees no warning."""
    page = (site / "chapter" / "index.html").read_text("utf-8")
    assert "1.8578" in page  # the prediction at 35.7 that the README shows
    assert page.count("data:image/png;base64") >= 7  # the pictures stand in the page
    assert '" data-mime-type="text/plain"' in page
    assert '" data-mime-type="application/vnd.jupyter.stderr"' not in page


def test_every_setting_is_in_the_reference(site: Path) -> None:
    """As the README's table has them."""
    page = (site / "reference" / "settings" / "index.html").read_text("utf-8")
    keys = re.findall(r"^\| `([^`]+)`", for_readme(), re.MULTILINE)
    assert len(keys) > 30
    assert [key for key in keys if f"<code>{key}</code>" not in page] == []


def test_every_function_is_in_the_reference(site: Path) -> None:
    """What can be chosen by its name, from the code itself."""
    from src.losses import LOSSES
    from src.models import MODELS
    from src.normalization import NORMALIZATIONS

    page = (site / "reference" / "functions" / "index.html").read_text("utf-8")
    rooms = {"models": MODELS, "losses": LOSSES, "normalization": NORMALIZATIONS}
    for room, functions in rooms.items():
        assert [name for name in functions if f'id="src.{room}.{name}"' not in page] == []
    assert 'id="src.loop.training_loop"' in page


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """No script, style or font of another's server: the site can be read without a network."""
    for page in site.rglob("*.html"):
        fetched = re.findall(
            r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)', page.read_text("utf-8")
        )
        assert [address for address in fetched if "canonical" not in address] == [], page
