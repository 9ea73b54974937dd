"""Which model the data call for, of those that runs on one data set were trained with under one loss.

Under squares: of the models within 2 of the lowest AICc the one with the fewest parameters. Under another
loss: the one with the fewest, unless a larger one predicts the observations, each by a fit without it, better
by more than two standard errors of the mean difference. A model is taken only with a run that is trained
enough.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..fit.criterion import ENOUGH, criterion
from ..spelling import SIGMA, parameters
from .record import LEFT_OUT, STATUS, TrackedRun

MARGIN = 2  # of AICc, and standard errors: less is no evidence for the larger model
NOTHING_LEFT = 64 * 2.0**-52  # of the largest target: what is left below is nothing


def is_trained(run: TrackedRun) -> bool:
    """Whether a run speaks of its best fit."""
    is_near = run.metrics.get("training_error", math.inf) <= ENOUGH
    return run.outcome == "converged" or (STATUS.get(run.outcome) == "FINISHED" and is_near)


@dataclass(frozen=True)
class Candidate:
    """A model, by the run that has its lowest best fit, of those that are trained enough if any is."""

    run: TrackedRun

    @classmethod
    def of(cls, runs: Sequence[TrackedRun]) -> Candidate:
        """From all runs of one model."""

        def order(run: TrackedRun) -> tuple[bool, bool, float, str]:
            metrics = run.metrics
            return not is_trained(run), "aicc" not in metrics, metrics.get("best_loss", math.inf), run.run_id

        return cls(min(runs, key=order))

    @property
    def name(self) -> str:
        """The model's."""
        return self.run.params["model"]

    @property
    def is_trained(self) -> bool:
        """Whether a run speaks for it."""
        return is_trained(self.run)

    @cached_property
    def size(self) -> int:
        """The number of its parameters."""
        return len(parameters(self.run.params))

    @cached_property
    def aicc(self) -> float:
        """As on record, or else of the best fit's loss; infinity for too few observations, NaN if unknown."""
        metrics, data = self.run.metrics, self.run.data
        if "aicc" in metrics:
            return metrics["aicc"]
        if data and data.observations - self.size - 2 <= 0:
            return math.inf
        if not data or "best_loss" not in metrics or SIGMA in self.run.params:
            return math.nan
        rounding = (NOTHING_LEFT * data.largest_target) ** 2
        found = criterion(data.observations, self.size, max(metrics["best_loss"], rounding))
        return math.inf if math.isnan(found) else found

    @cached_property
    def left_out(self) -> np.ndarray:
        """The losses of observations by fits without them; empty where they are not on record."""
        return np.array(json.loads(self.run.tags.get(LEFT_OUT, "[]")))

    @property
    def level(self) -> float:
        """The best fit's loss: what models from before there was more on record compare by."""
        return self.run.metrics.get("best_loss", math.inf)


@dataclass(frozen=True)
class Choice:
    """Models under one loss: `taken` first, then the others that are trained, the better first.

    `untrained` would be taken, were a run of it trained enough.
    """

    taken: Candidate | None
    others: Sequence[Candidate]
    untrained: Candidate | None

    @property
    def places(self) -> dict[str, int]:
        """Each trained model's."""
        trained = [self.taken, *self.others] if self.taken else []
        return {candidate.name: place for place, candidate in enumerate(trained)}

    @classmethod
    def of(cls, runs: Sequence[TrackedRun]) -> Choice:
        """From all runs on one data set under one loss."""
        by_model: dict[str, list[TrackedRun]] = defaultdict(list)
        for run in runs:
            by_model[run.params.get("model", "")].append(run)
        known = [Candidate.of(part) for model, part in by_model.items() if model]
        trained = [each for each in known if each.is_trained]
        taken = _taken(trained)
        others = sorted((each for each in trained if each is not taken), key=_quality)
        compared = [each for each in known if each.is_trained or not math.isnan(each.aicc)]
        best = _taken(compared) if len(compared) > 1 and known[0].run.is_under_squares else None
        return cls(taken, others, None if best is None or best.is_trained else best)

    @property
    def is_too_early(self) -> bool:
        """Whether there are too few observations to compare by AICc: the fewest parameters are taken."""
        known = [each for each in (self.taken, *self.others) if each]
        return (
            len(known) > 1 and known[0].run.is_under_squares and any(each.aicc == math.inf for each in known)
        )


def _quality(candidate: Candidate) -> tuple[float, float, int, str]:
    aicc = candidate.aicc
    return math.inf if math.isnan(aicc) else aicc, candidate.level, candidate.size, candidate.name


def _taken(candidates: Sequence[Candidate]) -> Candidate | None:
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    if not candidates[0].run.is_under_squares:
        return _by_left_out(candidates)
    if any(math.isnan(each.aicc) for each in candidates):
        return min(candidates, key=lambda each: (each.level, each.name))
    lowest = min(each.aicc for each in candidates)
    near = (each for each in candidates if each.aicc <= lowest + MARGIN)
    return min(near, key=lambda each: (each.size, each.aicc, each.name))


def _by_left_out(candidates: Sequence[Candidate]) -> Candidate:
    """From the smallest on, each that is better beyond doubt."""
    lengths = {len(each.left_out) for each in candidates}
    if len(lengths) > 1 or lengths == {0}:
        return min(candidates, key=lambda each: (each.level, each.name))
    taken, *larger = sorted(candidates, key=lambda each: (each.size, float(each.left_out.mean()), each.name))
    for each in larger:
        better = taken.left_out - each.left_out
        if better.mean() > MARGIN * better.std(ddof=1) / math.sqrt(len(better)):
            taken = each
    return taken
