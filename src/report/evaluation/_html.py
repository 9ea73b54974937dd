"""Pieces of HTML; every text that comes from the record or from a file is escaped here."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

escape = html.escape


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Of texts; `kind` says how they are aligned."""
    heads = "".join(f"<th>{escape(each)}</th>" for each in head)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<table class="{kind}"><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>'


def section(title: str, *parts: str, kind: str = "") -> str:
    """A heading and what stands under it."""
    content = "\n".join(filter(None, parts))
    return f'<section class="{kind}"><h2>{escape(title)}</h2>\n{content}</section>'


def paragraph(text: str) -> str:
    """One, escaped."""
    return f"<p>{escape(text)}</p>" if text else ""


def decimals(u: float) -> int:
    """The place of the second digit of an uncertainty, after the point.

    >>> decimals(4.46), decimals(0.0355), decimals(250.0)
    (1, 3, 0)
    """
    return max(0, 1 - math.floor(math.log10(float(f"{u:.1e}")))) if 0 < u < math.inf else 6


def in_two(value: float) -> str:
    """In two digits, as an uncertainty is told.

    >>> in_two(2.0), in_two(0.0356), in_two(254.0), in_two(2e-9), in_two(math.inf)
    ('2.0', '0.036', '250', '2.0e-09', 'inf')
    """
    return f"{value:.1e}" if 0 < value < 1e-5 else f"{float(f'{value:.1e}'):.{decimals(value)}f}"


def with_unit(text: str, unit: str) -> str:
    """A number and its unit, if that is known."""
    return f"{text} {unit}".strip()
