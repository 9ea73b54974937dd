"""Pages of the site that are made as it is built: a hook of MkDocs, see mkdocs.yml."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from src.manual import for_readme

ROOT = Path(__file__).parents[1]
SETTINGS = """# Settings

Each is given as `KEY=VALUE`, and with `-m` several values of it. `calibrate train --help` has this list, too.

"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """With the list of settings, and with the page on the simulations, which lies beside their code."""
    made = {
        "reference/settings.md": SETTINGS + for_readme(),
        "simulations.md": (ROOT / "simulations" / "README.md").read_text("utf-8"),
    }
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """With the links that lead out of docs/ in the repository turned to the page that holds the same."""
    del page, config, files
    return markdown.replace("](../simulations/README.md)", "](simulations.md)")
