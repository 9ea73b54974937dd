"""What there is to say of every setting, once: for `--help`, and for the README's table (`make settings`)."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from shutil import get_terminal_size

from .losses import LOSSES
from .models import MODELS
from .normalization import NORMALIZATIONS
from .package import CONF
from .settings import FILLED_IN, Setting, settings_with
from .spelling import defaults_of, shipped_choices, shipped_defaults, spelled

START = "model.start.PARAMETER"


@dataclass(frozen=True)
class Entry:
    """A setting: how the command line calls it, its default, what it is and may be."""

    key: str
    default: str
    text: str


def entries() -> Iterator[Entry]:
    """Every setting there is, group by group, in the order of the list in `settings.py`."""
    found: dict[str, tuple[Setting, str]] = {}  # each with the choice that it is an option of, if it is
    for normalization, loss, model in product(NORMALIZATIONS, LOSSES, MODELS):
        chosen = {"normalization": normalization, "loss": loss}
        for each in settings_with(normalization, loss, model):
            key = START if each.path[:2] == ("model", "start") else each.key
            choice = "" if each.path[-1] == "name" else chosen.get(each.group, "")
            found.setdefault(key, (each, choice))
    groups = list(dict.fromkeys(each.path[0] for each, _ in found.values()))
    shipped = shipped_defaults()
    told: set[str] = set()
    for key, (each, choice) in sorted(found.items(), key=lambda item: groups.index(item[1][0].path[0])):
        if each.group in FILLED_IN:
            continue
        if each.group not in told and each.group not in found and len(_files(each.group)) > 1:
            yield Entry(
                each.group,
                shipped_choices()[each.group],
                f"one that comes with the project: {', '.join(_files(each.group))}",
            )
        told.add(each.group)
        what = f"of {each.group}={choice}" if choice else each.about.what
        default = (defaults_of(each.group, choice) if choice else shipped).get(each.path)
        text = ": ".join(filter(None, (what, each.about.allowed)))
        yield Entry(key, "" if default is None or key == START else spelled(default), text)


@cache
def every_setting() -> dict[str, Setting]:
    """All settings that a person may give, with any functions of the project's, by key."""
    kinds = product(NORMALIZATIONS, LOSSES, MODELS)
    return {each.key: each for kind in kinds for each in settings_with(*kind) if each.group not in FILLED_IN}


def _files(group: str) -> list[str]:
    """The choices that a group of conf/ has; none of what is no group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml")) if group else []


def for_terminal() -> str:
    """The list for `--help`, as wide as the terminal."""
    width = max(get_terminal_size().columns - 1, 60)
    return "\n".join(
        textwrap.fill(
            f"{each.text}{f' [{each.default}]' if each.default else ''}",
            width,
            initial_indent=f"  {each.key:<21} ",
            subsequent_indent=" " * 24,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for each in entries()
    )


def for_readme() -> str:
    """The same as a table in Markdown."""
    rows = (
        f"| `{each.key}` | {f'`{each.default}`' * bool(each.default)} | {each.text} |" for each in entries()
    )
    return "\n".join(["| setting | default | what it is, and may be |", "| --- | --- | --- |", *rows])
