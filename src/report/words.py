"""What the numbers say, in plain words: which run is best, what went wrong, what to try next."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ..fit.advice import next_tries
from ..formula import formula
from ..normalization import Affine
from ..spelling import SCALE, SHIFT
from ..tracking.record import TrackedRun
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


def note(comparison: Comparison, most_drawn: int) -> str:
    """A comparison's description, in Markdown; of several data sets so many have figures, in folders."""
    parts = comparison.data_sets
    if not comparison.runs:
        return "No run is on record.\n"
    if len(parts) == 1:
        return _joined(_note(comparison))
    paragraphs = [f"{len(parts):,} data sets, each with a best run of its own."]
    if len(parts) > most_drawn:
        paragraphs[0] += f" Figures are of the first {most_drawn:,}."
    for place, part in enumerate(parts[:MOST_TOLD]):
        drawn = f" (figures in {part.folder})" if place < most_drawn else ""
        paragraphs += [f"### {part.data}{drawn}", *_note(part)]
    if len(parts) > MOST_TOLD:
        paragraphs.append(f"{len(parts) - MOST_TOLD:,} more data sets are in `runs.csv`.")
    return _joined(paragraphs)


def _joined(paragraphs: Iterable[str]) -> str:
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def _note(comparison: Comparison) -> Iterator[str]:
    """What is said of the runs on one data set, by paragraphs."""
    runs = comparison.runs
    yield _counts(runs)
    yield " ".join(_best(comparison))
    yield "\n".join(f"- {line}" for line in reasons(runs))
    if tries := advice(comparison):
        yield "To try next, each enough to converge:"
        yield "\n".join(f"- `{one}`" for one in tries)
    if comparison.missing:
        yield f"Not drawn: fits and graph; {comparison.missing}."


def advice(comparison: Comparison) -> list[str]:
    """What to give the command for a run that converges, where the first did not."""
    run, pairs = comparison.runs[0], comparison.pairs
    if run.outcome == "converged" or not pairs:
        return []
    fitted = Affine(float(run.params[SHIFT]), float(run.params[SCALE]))
    return [
        shlex.join(f"{key}={value}" for key, value in given.items())
        for given in next_tries(comparison.settings, fitted, pairs)
    ]


def _counts(runs: Sequence[TrackedRun]) -> str:
    counts = Counter(run.outcome for run in runs)
    parts = [f"{count:,} {MEANING.get(outcome, outcome)}" for outcome, count in counts.items()]
    return f"{len(runs):,} run{'s' * (len(runs) > 1)}: {', '.join(parts)}."


def _best(comparison: Comparison) -> Iterator[str]:
    runs = comparison.runs
    best, metrics = runs[0], runs[0].metrics
    found = best.readable()
    if not found:
        return
    yield f"**Best is `{best.name}`: `{formula(best.params, found, comparison.ranges, best.loss)}`**,"
    yield f"with loss {best.loss:.6g}, {distance(best.params, metrics)}."
    if known := parameters_found(best.params, metrics):
        yield f"{known}. Residuals: {quality(metrics, comparison.unit)}."
    others = sum(run.outcome == "converged" for run in runs) - 1
    if best.outcome == "converged" and others:
        yield f"{others:,} more converged; of those with this best fit it is the cheapest."
