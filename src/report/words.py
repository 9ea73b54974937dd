"""What the numbers say, in plain words: which run is best, what went wrong, what to try next."""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import torch

from .. import normalization
from ..config import USUAL, Settings
from ..fit.plan import Run
from ..fit.yardstick import epochs_enough, fastest_rate, hessian_eigenvalues, loss_gap
from ..models import MODELS, formula, parameter_names
from ..normalization import Affine
from ..tracking.record import TrackedRun
from .table import reasons

QUOTE = "\\'"  # how Hydra reads a quote within quotes
MOST_EPOCHS = 10**7  # advice to wait for longer is none
WORTH_IT = 0.7  # of the epochs that the run at hand needs: what saves less is not worth a word
MEANING = {
    "converged": "converged",
    "stopped": "stopped short of convergence",
    "diverged": "diverged",
    "killed": "were interrupted",
    "crashed": "crashed",
}


def sweep_note(runs: Sequence[TrackedRun], best: Run | None) -> str:
    """A sweep's description, in Markdown. `runs` are ranked; `best` is the first of them, made anew."""
    if not runs:
        return "No run is on record.\n"
    paragraphs = [_counts(runs)]
    if "loss_gap" in runs[0].metrics:
        paragraphs.append(" ".join(_best(runs)))
    paragraphs.append("\n".join(f"- {line}" for line in reasons(runs)))
    if best and (tries := advice(runs[0], best)):
        paragraphs.append("To try next, each enough to converge:")
        paragraphs.append("\n".join(f"- `{one}`" for one in tries))
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def _counts(runs: Sequence[TrackedRun]) -> str:
    counts = Counter(run.outcome for run in runs)
    parts = [f"{count:,} {MEANING.get(outcome, outcome)}" for outcome, count in counts.items()]
    return f"{len(runs):,} run{'s' * (len(runs) > 1)}: {', '.join(parts)}."


def _best(runs: Sequence[TrackedRun]) -> Iterator[str]:
    best, metrics = runs[0], runs[0].metrics
    params = [metrics[name] for name in parameter_names(MODELS[best.params["model"]])]
    found = formula(params, best.params["data_input"])
    yield f"**Best is `{best.name}`: `{best.params['data_target']} = {found}`**,"
    yield f"with loss {metrics['loss']:.6g}, {metrics['loss_gap']:.3g} above the exact optimum's."
    converged = [run for run in runs if run.outcome == "converged"]
    cheapest = min(converged, key=lambda run: int(run.params["epochs"]), default=best)
    if int(cheapest.params["epochs"]) < int(best.params["epochs"]):
        yield f"`{cheapest.name}` converged too, in the fewest epochs."


def advice(tracked: TrackedRun, run: Run) -> list[str]:
    """What to give the command for a run that converges, where this one did not; the nearest first.

    Each is enough in exact arithmetic, by `analysis.epochs_enough` from the run's own start.
    """
    if tracked.outcome == "converged":
        return []
    settings, t_u = run.settings, run.problem.t_u
    given = tracked.tags.get("overrides", "").split()
    kept = [*_changed(settings), *(one for one in given if one.startswith("model.start."))]
    choice = [f"normalization={settings.normalization.name}"]
    if settings.normalization.factor:
        choice.append(f"normalization.factor={settings.normalization.factor:g}")
    tries = [(choice, run.input.fitted, settings.lr), (choice, run.input.fitted, None)]
    if settings.normalization.name != "zscore":
        tries.append((["normalization=zscore"], normalization.zscore(t_u), None))
    found, fewest = [], math.inf
    for how, fitted, rate in tries:
        lr, epochs = _enough(run, fitted, rate)
        if epochs <= min(MOST_EPOCHS, WORTH_IT * fewest):
            fewest = epochs
            found.append(shlex.join([*kept, *how, f"lr={lr:g}", f"epochs={epochs:.0f}"]))
    return found


def _changed(settings: Settings) -> Iterator[str]:
    """What to give Hydra for the settings, besides the training's, that are not the usual ones."""
    data = settings.data
    chosen = {
        "data.path": data.path,
        "data.input": data.input,
        "data.target": data.target,
        "model": settings.model.name,
        "dtype": settings.dtype,
        "device": settings.device,
    }
    for key, value in chosen.items():
        if value != USUAL[key]:
            is_plain = re.fullmatch(r"[\w./-]+", value)
            yield f"{key}={value}" if is_plain else key + "='" + value.replace("'", QUOTE) + "'"


def _enough(run: Run, fitted: Affine, rate: float | None) -> tuple[float, float]:
    """The learning rate, the fastest where none is given, and the epochs that are enough with it."""
    problem = run.problem
    eigenvalues = hessian_eigenvalues(problem.model, fitted.apply(problem.t_u, torch.float64))
    lr = rate or _rounded(fastest_rate(eigenvalues), math.floor)
    start = torch.tensor([[run.settings.model.start[name] for name in problem.names]], dtype=torch.float64)
    start_gap = loss_gap(problem.model, fitted.fold(start), problem.optimum, problem.t_u)
    steps = epochs_enough(eigenvalues, lr, float(start_gap), problem.converged_below)
    epochs = steps + 1  # a run's loss is measured before its last step
    return lr, _rounded(epochs, math.ceil) if math.isfinite(epochs) else epochs


def _rounded(number: float, how: Callable[[float], int]) -> float:
    """To two digits: 0.0329 down to 0.032, 1236 up to 1300."""
    unit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return how(round(number / unit, 6)) * unit
