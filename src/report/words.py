"""What the numbers say, in plain words: which run is best, what went wrong, what to try next."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence

from ..fit.advice import next_tries
from ..normalization import Affine
from ..spelling import SCALE, SHIFT, best_is, formula
from ..tracking.record import TrackedRun
from .comparison import Comparison
from .reasons import reasons

MEANING = {
    "converged": "converged",
    "stopped": "stopped short of convergence",
    "diverged": "diverged",
    "killed": "were interrupted",
    "crashed": "crashed",
}


def note(comparison: Comparison) -> str:
    """A comparison's description, in Markdown."""
    runs = comparison.runs
    if not runs:
        return "No run is on record.\n"
    paragraphs = [_counts(runs)]
    paragraphs.append(" ".join(_best(runs)))
    paragraphs.append("\n".join(f"- {line}" for line in reasons(runs)))
    if tries := advice(comparison):
        is_exact = best_is(runs[0].params) == "exact optimum"
        enough = "each enough to converge" if is_exact else "by the curvature at the best fit, an estimate"
        paragraphs.append(f"To try next, {enough}:")
        paragraphs.append("\n".join(f"- `{one}`" for one in tries))
    if comparison.missing:
        paragraphs.append(f"Not drawn: fits and graph; {comparison.missing}.")
    return "\n\n".join(filter(None, paragraphs)) + "\n"


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


def _best(runs: Sequence[TrackedRun]) -> Iterator[str]:
    best, metrics = runs[0], runs[0].metrics
    found = best.calibration()
    if not found:
        return
    yield f"**Best is `{best.name}`: `{formula(best.params, *found)}`**,"
    distance = "the search for the best fit did not settle"
    if "loss_gap" in metrics:
        distance = f"{metrics['loss_gap']:.3g} above the {best_is(best.params)}'s"
    yield f"with loss {metrics['loss']:.6g}, {distance}."
    converged = [run for run in runs if run.outcome == "converged"]
    cheapest = min(converged, key=lambda run: int(run.params["epochs"]), default=best)
    if int(cheapest.params["epochs"]) < int(best.params["epochs"]):
        yield f"`{cheapest.name}` converged too, in the fewest epochs."
