"""What is read, as its reader and its errors know it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..layout import Layout


@dataclass(frozen=True)
class Source:
    """A file or a stream, and how it is said to be written.

    `spelled` says a setting of it: `data.decimal=comma` of a run's, `--decimal comma` of a command's.
    `columns` are the names that are looked for. Where it `may_be_bare`, a lone column needs no name.
    """

    name: str
    layout: Layout
    spelled: Callable[[str, str], str]
    columns: tuple[str, ...] = ()
    may_be_bare: bool = False
