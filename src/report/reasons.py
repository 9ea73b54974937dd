"""What is to be known of ranked runs, in words: why some went wrong, each reason once with its runs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from ..fit.rates import beyond, limit_in_digits
from ..spelling import in_words
from ..tracking.conformity import REASON
from ..tracking.model_choice import Candidate
from ..tracking.ranking import choice_of, lr, several_losses
from ..tracking.record import TrackedRun
from .differences import distinguishing
from .table import EVERYTHING

Ranked = tuple[int, TrackedRun]

MOST_REASONS = 8
MOST_TOLD = 12


def reasons(runs: Sequence[TrackedRun]) -> Iterator[str]:
    """Each reason once, with the ranks it holds for; many that differ by the learning rate as one.

    Before them, that losses under several loss functions do not compare; after the first `MOST_TOLD` how many
    are left.
    """
    if losses := several_losses(runs):
        yield f"losses under {', '.join(losses)} cannot be compared: the best is the best under {losses[0]}"
    yield from _models(runs)
    if runs and REASON in runs[0].tags:
        yield f"#1: tolerance {runs[0].tags[REASON]}"
    if runs and "caution" in runs[0].tags:
        yield f"#1: caution: {runs[0].tags['caution']}"
    found: dict[str, list[Ranked]] = defaultdict(list)
    for rank, run in enumerate(runs, start=1):
        if "reason" in run.tags:
            found[run.tags["reason"]].append((rank, run))
    if len(found) > MOST_REASONS:
        found = _joined(found, [key for key in distinguishing(runs) if key not in ("lr", "epochs")])
    every = sorted(found.items(), key=lambda each: each[1][0][0])
    for reason, members in every[:MOST_TOLD]:
        ranks = [str(rank) for rank, _ in members]
        which = ", ".join(ranks) if len(ranks) <= 4 else f"{ranks[0]} and {len(ranks) - 1:,} more"
        yield f"#{which}: {reason}"
    if left := every[MOST_TOLD:]:
        of = sum(len(members) for _, members in left)
        yield f"… and {len(left):,} more reasons, of {of:,} runs: in the column reason of {EVERYTHING}"


def _models(runs: Sequence[TrackedRun]) -> Iterator[str]:
    """Which model was taken of several, and which would be, were it trained."""
    choice = choice_of(runs)
    if choice is None:
        return
    if choice.taken and choice.others:
        first = f"{choice.taken.name}{_criterion(choice.taken)} (taken)"
        others = (f"{each.name}{_criterion(each)}" for each in choice.others)
        few = "too few observations to tell, the fewest parameters are taken; " * choice.is_too_early
        yield f"models by {_name(choice.taken)}: {few}{', '.join([first, *others])}"
    if choice.untrained:
        better = f"model={choice.untrained.name} is better, but no run of it is trained enough"
        yield f"{better}: more epochs, or lr=auto"


def _name(candidate: Candidate) -> str:
    if len(candidate.left_out):
        return "the loss of observations left out"
    return "loss" if math.isnan(candidate.aicc) else "AICc"


def _criterion(candidate: Candidate) -> str:
    """What it was compared by; empty where it has none."""
    if len(candidate.left_out):
        return f" {candidate.left_out.mean():.3g}"
    return f" {candidate.aicc:.1f}" if math.isfinite(candidate.aicc) else ""


def _joined(found: dict[str, list[Ranked]], names: Sequence[str]) -> dict[str, list[Ranked]]:
    """One reason for all learning rates beyond the limit of one input; the others as they are.

    `names` are the params besides that tell the runs apart.
    """
    groups: dict[tuple[str, str], list[Ranked]] = defaultdict(list)
    joined = {}
    for reason, members in found.items():
        run = members[0][1]
        if (ratio := run.metrics.get("lr_over_limit", 0)) > 1 and reason.startswith("lr "):
            groups[limit_in_digits(lr(run) / ratio), run.tags.get("advice", "")] += members
        else:
            joined[reason] = members
    for (limit, advice), members in groups.items():
        cause = _beyond(limit, [run for _, run in members], names)
        joined[f"{cause}: {advice}" if advice else cause] = sorted(members, key=lambda each: each[0])
    return joined


def _beyond(limit: str, runs: Sequence[TrackedRun], names: Sequence[str]) -> str:
    """The rates and how far they are beyond; `of this input` where there is but one, else its choices."""
    far = beyond(limit, (run.metrics["lr_over_limit"] for run in runs))
    rates = " to ".join(dict.fromkeys(f"{rate:g}" for rate in (min(map(lr, runs)), max(map(lr, runs)))))
    said = [{in_words(name, run.params) for run in runs} for name in names]
    choices = " · ".join(filter(None, (words.pop() for words in said if len(words) == 1)))
    return f"lr {rates} is {far} of {choices or 'this input'}"
