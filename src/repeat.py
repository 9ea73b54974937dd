"""The config that repeats a sweep, however it was started, itself included: `sweep.yaml`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from .settings import FILLED_IN, Settings
from .spelling import defaults_of, flat, key_of, overrides, settings_of, spelled

# no settings of a sweep's: what the command fills in, and what says which sweep goes on
NOT_REPEATED = (*FILLED_IN, "resume", "repeat", "dry", "hydra")


def of_sweep(config: DictConfig) -> str:
    """From the config that Hydra sweeps over; it repeats it whatever the defaults become."""
    choices = {group: choice for group, choice in config.hydra.runtime.choices.items() if group in config}
    sweeper = _plain(config.hydra.sweeper)
    params = (sweeper.get("params") or {}) | _swept(config.hydra.overrides.task)
    for group in params.keys() & choices.keys():
        params = _changed(config, group, choices[group]) | params
    if params:
        sweeper["params"] = params
    kept = {group: choice for group, choice in choices.items() if group not in params}
    pinned = {key: value for key, value in _plain(config).items() if key in kept or key not in choices}
    chosen = {**kept, "hydra/sweeper": config.hydra.runtime.choices["hydra/sweeper"]}
    return _config(chosen, pinned, sweeper)


def of_points(first: DictConfig, settings: Sequence[Settings]) -> str:
    """The same for configs that were handed over together; empty where they are no grid."""
    points = [_point(each) for each in settings]
    keys = dict.fromkeys(key for point in points for key in point)
    values = {key: list(dict.fromkeys(point.get(key, "") for point in points)) for key in keys}
    partly = {key for key, several in values.items() if "" in several}  # settings of one choice alone
    swept = {key: several for key, several in values.items() if len(several) > 1 and key not in partly}
    is_grid = len({tuple(point.items()) for point in points}) == len(points) == prod(map(len, swept.values()))
    units = {(str(each.data.units), each.data.unit_of_input, each.data.unit_of_target) for each in settings}
    if not is_grid or len(units) > 1 or any(overrides(each).keys() & partly for each in settings):
        return ""
    params = {key: ",".join(several) for key, several in swept.items()}
    groups = {
        "model": settings[0].model,
        "normalization": settings[0].normalization,
        "loss": settings[0].loss,
    }
    chosen = {group: function.name for group, function in groups.items() if "." not in function.name}
    kept = {group: choice for group, choice in chosen.items() if group not in params}
    pinned = {key: value for key, value in _plain(first).items() if key in kept or key not in chosen}
    return _config(kept, pinned, {"params": params})


def _point(settings: Settings) -> dict[str, str]:
    """All that tells one run of such a sweep from another."""
    values = {each: each.value(settings) for each in settings_of(settings) if each.about.param}
    found = {key_of(each, value): spelled(value) for each, value in values.items()}
    return found | {"tracking.experiment": spelled(settings.tracking.experiment)}


def _swept(given: Sequence[str]) -> dict[str, str]:
    """What the sweep is over, of what the command line gave."""
    parsed = [
        each for each in OverridesParser.create().parse_overrides(list(given)) if each.is_sweep_override()
    ]
    lines = (str(each.input_line).partition("=")[::2] for each in parsed)
    return {key: value for key, value in lines if not key.startswith(("hydra.", "origin."))}


def _changed(config: DictConfig, group: str, choice: str) -> dict[str, str]:
    """What was set within a group that the sweep is over, beside its choice: it holds for every choice."""
    shipped = defaults_of(group, choice)
    leaves = {
        key: value for key, value in flat(_plain(config[group]), (group,)).items() if key[1:] != ("name",)
    }
    return {
        ".".join(key): spelled(value)
        for key, value in leaves.items()
        if key[1:] != ("name",) and value != shipped.get(key)
    }


def _plain(config: DictConfig) -> dict[str, Any]:
    """As it stands, unresolved, without what belongs to one sweep alone."""
    kept = [str(key) for key in config if key not in NOT_REPEATED]
    content = OmegaConf.to_container(OmegaConf.masked_copy(config, kept))
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def _config(chosen: Mapping[str, str], pinned: Mapping[str, Any], sweeper: Mapping[str, Any]) -> str:
    """A config to start from; what a sweep's `params` choose comes behind it, as on a command line."""
    content = {
        "defaults": [
            "config",
            *({f"override /{group}": choice} for group, choice in chosen.items()),
            "_self_",
        ],
        **pinned,
        "hydra": {"mode": "MULTIRUN", "sweeper": dict(sweeper)},
    }
    return OmegaConf.to_yaml(content)
