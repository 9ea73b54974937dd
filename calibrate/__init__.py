"""The code in src/ under the name that it has in the wheel, where this folder is not."""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().parents[1] / "src")]  # not `import src`: that may be another's
