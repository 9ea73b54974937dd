"""An experiment's best run: the calibration that is meant where none is named."""

from __future__ import annotations

from dataclasses import dataclass

from .. import data, package
from ..config import ConfigError
from ..data import Pairs
from ..spelling import DATA
from . import ranking, reader
from .dataset import is_trained_on
from .record import TrackedRun, rebuild
from .selection import Selection
from .store import Store


@dataclass(frozen=True)
class Best:
    """An experiment's best run, and in words what was left out for it; empty for nothing."""

    run: TrackedRun
    remark: str


def where_best(store: Store, default: str) -> str:
    """The experiment in which to look for the best run: the default one, or else the only one with runs."""
    experiments = store.client.search_experiments()
    if default in (each.name for each in experiments):
        return default
    ours = "tags.outcome LIKE '%'"
    used = [
        each.name
        for each in experiments
        if store.client.search_runs([each.experiment_id], ours, max_results=1)
    ]
    return used[0] if len(used) == 1 else default


def best(store: Store) -> Best:
    """The experiment's best run, in the order of `ranking`, on the data as their file holds them now.

    Where no run is on these, or the file is gone, on the data that were trained on last. Raises ConfigError
    where there is none, or where runs on several files leave open which calibration is meant.
    """
    runs = reader.runs(store, Selection())
    usable = [run for run in runs if run.status == "FINISHED" and ranking.best([run])]
    if not usable:
        name = store.client.get_experiment(store.experiment_id).name
        raise ConfigError(
            f"no run of the experiment {name} has a calibration: "
            f"train some with {package.command('train')}, or give another --experiment"
        )
    parts = ranking.data_sets(usable)
    first, *others = dict.fromkeys(_file(part[0]) for part in parts)
    if others:
        raise ConfigError(
            f"best of which? There are runs on {first} and on {others[0]}: give a run's id, "
            "and keep each calibration in an experiment, by tracking.experiment=NAME"
        )
    newest = max(parts, key=ranking.newest)
    pairs = _pairs(store, newest[0])
    chosen = [run for run in usable if pairs and is_trained_on(run, pairs)]
    remarks = []
    if pairs and not chosen:
        remarks.append(f"{pairs.settings.path} has changed since: train on it as it is now")
    chosen = chosen or newest
    if left_out := len(usable) - len(chosen):
        remarks.append(f"{left_out:,} run{'s' * (left_out > 1)} on other data left out")
    if losses := ranking.several_losses(chosen):
        remarks.append(
            f"under {losses[0]}, which cannot be compared with losses under {', '.join(losses[1:])}"
        )
    return Best(ranking.best_first(chosen)[0], "; ".join(remarks))


def _file(run: TrackedRun) -> str:
    """Which columns of which file a run was trained on."""
    path, *columns = (run.params.get(key, "?") for key in DATA)
    return f"{path} ({' to '.join(columns)})"


def _pairs(store: Store, run: TrackedRun) -> Pairs | None:
    """What a run's file holds now; None where it is gone, or holds no data any more."""
    try:
        settings = rebuild(run, reader.dataset(store, run.run_id))
        return data.load(settings.data, n_parameters=1)
    except ConfigError:
        return None
