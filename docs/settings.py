"""Write the README's table of settings again: python -m docs.settings

It is what `python -m src.train --help` lists, from the list in src/settings.py.
"""

import re
from pathlib import Path

from src.manual import for_readme

README = Path(__file__).parents[1] / "README.md"
TABLE = re.compile(r"^\| setting \| default \|.*?\n(?!\|)", re.DOTALL | re.MULTILINE)


def with_table(readme: str) -> str:
    """The README with the table that is right now in place of its own."""
    return TABLE.sub(lambda _: f"{for_readme()}\n", readme)


if __name__ == "__main__":
    README.write_text(with_table(README.read_text("utf-8")), "utf-8")
