"""A comparison as one file, sweep.html: words, figures, and the ranked table to sort and filter.

It holds all that it shows, so that it opens anywhere: as a file, or in MLflow's page, whose frame opens no
links and refuses browser storage.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from string import Template

from ..tracking.conformity import CONFORMITY
from . import table
from .comparison import Comparison
from .differences import columns

NAME = "sweep.html"
HERE = Path(__file__).parent
LIBRARY = HERE / "tabulator"  # https://tabulator.info, as published, with its licence

Column = dict[str, object]


def as_html(
    comparison: Comparison,
    told: Sequence[str],
    pictures: Sequence[Sequence[Path]],
    links: Mapping[str, str],
) -> Iterator[str]:
    """The file's text in pieces, for its tables may be long: a section for each data set.

    In each what is `told` of it, in Markdown. `pictures` are the figures of each, of the first ones; `links`
    are addresses by what they are called.
    """
    parts = comparison.data_sets
    sections = [
        _section(part.data if len(parts) > 1 else "", text, place, pictures[place : place + 1])
        for place, (part, text) in enumerate(zip(parts, told, strict=False))
    ]
    if len(parts) > len(told):
        sections.append(f"<p>{len(parts) - len(told):,} more data sets are in <code>runs.csv</code>.</p>")
    filled_in = {
        "title": html.escape(comparison.title),
        "links": _links(links),
        "sections": "\n".join(sections),
        "style": _text(HERE / "sweep.css"),
        "script": _text(HERE / "sweep.js"),
        "library_style": _text(LIBRARY / "tabulator_simple.min.css"),
        "library": _text(LIBRARY / "tabulator.min.js"),
    }
    before, after = _text(HERE / NAME).split("$tables")
    yield Template(before).substitute(filled_in)
    yield from _list(_list(map(_json, _columns(part))) for part in parts[: len(told)])
    yield Template(after).substitute(filled_in)


def _list(items: Iterable[Iterable[str]]) -> Iterator[str]:
    """A list of JSON, from the pieces of each item."""
    yield "["
    for place, item in enumerate(items):
        yield "," * bool(place)
        yield from item
    yield "]"


def _json(column: Column) -> tuple[str]:
    """In one piece; nothing in it ends a script."""
    return (json.dumps(column, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c"),)


def _text(path: Path) -> str:
    return path.read_text("utf-8")


def _links(links: Mapping[str, str]) -> str:
    """They open where the page is opened as a file, and are seen there alone."""
    if not links:
        return ""
    found = " · ".join(
        f'<a href="{html.escape(address)}">{html.escape(name)}</a>' for name, address in links.items()
    )
    return f'<p class="in-file">{found}</p>'


def _section(data: str, told: str, place: int, pictures: Sequence[Sequence[Path]]) -> str:
    from markdown_it import MarkdownIt  # which a run on its own, without such a page, need not wait for

    heading = f"<h2>{html.escape(data)}</h2>\n" if data else ""
    words = MarkdownIt("commonmark", {"html": False}).render(told)
    figures = "\n".join(_figure(path) for drawn in pictures for path in drawn)
    return (
        f'{heading}<div class="words">{words}</div>\n'
        f'<p class="count" id="count-{place}"></p>\n<div id="table-{place}"></div>\n'
        f'<div class="figures">{figures}</div>'
    )


def _figure(path: Path) -> str:
    name, data = path.stem.replace("_", " "), base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{name}" title="{name}" src="data:image/png;base64,{data}">'


def _columns(part: Comparison) -> Iterator[Column]:
    """By column, which takes less room; numbers in all their digits."""
    runs = part.runs
    yield _numbers("#", range(1, len(runs) + 1))
    for key in columns(runs):
        yield _params(table.title(key), [run.params.get(key, "") for run in runs])
    own = table.parameters_by_model(runs)
    keys = {key: [True] * len(runs) for key in table.RESULTS}
    for key in table.parameter_columns(runs):
        keys[key] = [key in own[run.params.get("model", "")] for run in runs]
    for key, has in keys.items():
        found = (table.value(run, key) if there else None for run, there in zip(runs, has, strict=True))
        yield _numbers(key, list(found))
    if any(verdicts := table.conformities(runs)):
        yield _texts(CONFORMITY, verdicts)
    yield _texts("outcome", map(table.what_came_of, runs))
    for key in table.TRUST:
        values = [table.value(run, key) for run in runs]
        if any(value is not None for value in values):
            yield _numbers(key, values)
    yield _texts("run", (run.name for run in runs))
    yield _texts("run id", (run.run_id for run in runs))
    pages = {
        experiment: replace(part.store, experiment_id=experiment).run_page("RUN")
        for experiment in {run.experiment_id for run in runs}
    }
    yield _texts("page", [pages[run.experiment_id] for run in runs])  # which is not shown, but linked
    yield _texts("reason", (run.tags.get("reason", "") for run in runs))


def _numbers(title: str, values: Sequence[float | None]) -> Column:
    return {"title": html.escape(title), "kind": "number", "values": list(values)}


def _params(title: str, texts: Sequence[str]) -> Column:
    """Numbers where all of them are."""
    try:
        return _numbers(title, [float(text) if text else None for text in texts])
    except ValueError:
        return _texts(title, texts)


def _texts(title: str, values: Iterator[str] | Sequence[str]) -> Column:
    """Each text once, and a place among them for every run: reasons are long, and few."""
    places: dict[str, int] = {}
    found = [places.setdefault(value, len(places)) for value in values]
    return {"title": html.escape(title), "kind": "text", "values": found, "texts": list(places)}
