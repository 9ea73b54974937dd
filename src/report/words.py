"""What the numbers say, in plain words: which run is best, what went wrong, what to try next."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ..fit.advice import next_tries
from ..formula import formula
from ..normalization import Affine
from ..spelling import SCALE, SHIFT, shipped_defaults, spelled
from ..tracking.record import CHANGE, TrackedRun
from ..tracking.trust import distance, parameters_found, quality
from .comparison import Comparison
from .reasons import reasons

MEANING = {
    "converged": "converged",
    "stopped": "stopped short of convergence",
    "diverged": "diverged",
    "killed": "were interrupted",
    "crashed": "crashed",
}


MOST_TOLD = 12  # data sets
NAME_IN_QUOTES = re.compile(
    r"'((?=.*(?:[ (\[%]|[^\0-\x7f]))[\w°][\w ()\[\]./%°<>=!-]*)'"
)  # as Hydra reads it


def note(comparison: Comparison, told: Sequence[str], most_drawn: int) -> str:
    """A comparison's description, in Markdown, of what is `told` of each data set.

    Of several so many have figures, in folders.
    """
    parts = comparison.data_sets
    if len(parts) == 1:
        return told[0]
    paragraphs = [f"{len(parts):,} data sets, each with a best run of its own."]
    if len(parts) > most_drawn:
        paragraphs[0] += f" Figures are of the first {most_drawn:,}."
    for place, (part, text) in enumerate(zip(parts, told, strict=False)):
        drawn = f" (figures in {part.folder})" if place < most_drawn else ""
        paragraphs += [f"### {part.data}{drawn}", text.rstrip()]
    if len(parts) > len(told):
        paragraphs.append(f"{len(parts) - len(told):,} more data sets are in `runs.csv`.")
    return _joined(paragraphs)


def _joined(paragraphs: Iterable[str]) -> str:
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def in_a_line(comparison: Comparison) -> str:
    """The answer, in Markdown: how many runs, and which is best."""
    parts, counted = comparison.data_sets, f"{len(comparison.runs):,} runs"
    if len(parts) > 1:
        return f"{counted} on {len(parts):,} data sets, each with a best run of its own"
    best = comparison.best
    found = best.readable() if best else None
    if not best or not found:
        return _counts(comparison.runs).removesuffix(".") if comparison.runs else "no run is on record"
    calibration = formula(best.params, found, comparison.ranges, best.loss)
    return f"of {counted} the best is `{best.name}`: `{calibration}`, loss {best.loss:.6g}"


def told(comparison: Comparison) -> list[str]:
    """What is said of the runs on each data set, in Markdown; of the first `MOST_TOLD` of them."""
    parts = comparison.data_sets[:MOST_TOLD]
    return [_joined(_paragraphs(part)) if part.runs else "No run is on record.\n" for part in parts]


def _paragraphs(comparison: Comparison) -> Iterator[str]:
    """The answer first: MLflow's table shows its first fifty letters."""
    runs = comparison.runs
    yield _best(comparison)
    yield " ".join([_counts(runs), *_found(comparison)])
    yield "\n".join(f"- {line}" for line in reasons(runs))
    if tries := advice(comparison):
        yield "To try next; each of these converges:"
        yield "\n".join(f"- `{one}`" for one in tries)
    if comparison.missing:
        yield f"Not drawn: fits and graph; {comparison.missing}."


def advice(comparison: Comparison) -> list[str]:
    """What to give the command for a run that converges, where the first did not."""
    run, pairs = comparison.runs[0], comparison.pairs
    if run.outcome == "converged" or not pairs:
        return []
    fitted = Affine(float(run.params[SHIFT]), float(run.params[SCALE]))
    experiment = comparison.store.experiment_of(run.experiment_id)
    is_usual = experiment == shipped_defaults()["tracking", "experiment"]
    filed = {} if is_usual else {"tracking.experiment": spelled(experiment)}
    return [
        shlex.join(f"{key}={_unquoted(value)}" for key, value in (given | filed).items())
        for given in next_tries(comparison.settings, fitted, pairs)
    ]


def _unquoted(value: str) -> str:
    """Without the quotes that the command itself puts on a text.

    >>> _unquoted("'Volt [mV]'"), _unquoted("'°C'"), _unquoted("'1'"), _unquoted("'a, b'")
    ('Volt [mV]', '°C', "'1'", "'a, b'")
    """
    found = NAME_IN_QUOTES.fullmatch(value)
    return found[1] if found else value


def _counts(runs: Sequence[TrackedRun]) -> str:
    counts = Counter(run.outcome for run in runs)
    parts = [f"{count:,} {MEANING.get(outcome, outcome)}" for outcome, count in counts.items()]
    return f"{len(runs):,} run{'s' * (len(runs) > 1)}: {', '.join(parts)}."


def _best(comparison: Comparison) -> str:
    best = comparison.runs[0]
    found = best.readable()
    if not found:
        return ""
    calibration = formula(best.params, found, comparison.ranges, best.loss)
    away = distance(best.params, best.metrics)
    return f"Best is `{best.name}`: `{calibration}`, with loss {best.loss:.6g}, {away}."


def _found(comparison: Comparison) -> Iterator[str]:
    """What else is to be known of the best."""
    runs, best = comparison.runs, comparison.runs[0]
    if known := parameters_found(best.params, best.metrics):
        yield f"{known}. Residuals: {quality(best.metrics, comparison.unit)}."
    if CHANGE in best.tags:
        yield f"Change: {best.tags[CHANGE]}."
    others = sum(run.outcome == "converged" for run in runs) - 1
    if best.outcome == "converged" and others:
        yield f"{others:,} more converged; of those with this best fit none took fewer epochs."
