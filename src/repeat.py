"""The config that repeats a sweep, however it was started, itself included: `sweep.yaml`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from .package import command
from .settings import Settings
from .spelling import overrides

HEAD = """# @package _global_
# Repeats the sweep {sweep}. Save it as FOLDER/{group}/NAME.yaml (FOLDER may be conf), then:
#   {call}
"""


def of_sweep(config: DictConfig, sweep: str) -> str:
    """An experiment file from the config that Hydra sweeps over, whatever the defaults become."""
    given = list(config.hydra.overrides.task)
    choices = {group: choice for group, choice in config.hydra.runtime.choices.items() if group in config}
    sweeper = _plain(config.hydra.sweeper)
    params = _params(given, choices)
    if "params" in sweeper:
        sweeper["params"] = {**(sweeper["params"] or {}), **params}
        params = {}
    swept = sweeper.get("params") or {}
    kept = {group: choice for group, choice in choices.items() if group not in swept}
    pinned = {key: value for key, value in _plain(config).items() if key in kept or key not in choices}
    chosen = {**kept, "hydra/sweeper": config.hydra.runtime.choices["hydra/sweeper"]}
    return _file(sweep, chosen, pinned, sweeper, swept, params)


def of_points(first: DictConfig, settings: Sequence[Settings], sweep: str) -> str:
    """The same for configs that were handed over together; empty where they are no grid."""
    points = [overrides(each) for each in settings]
    values = {key: list(dict.fromkeys(point.get(key, "") for point in points)) for key in points[0]}
    different = {tuple(point.items()) for point in points}
    if any(point.keys() != points[0].keys() for point in points) or len(different) != prod(
        map(len, values.values())
    ):
        return ""
    params = {key: ",".join(several) for key, several in values.items() if len(several) > 1}
    chosen = {"model": settings[0].model.name, "normalization": settings[0].normalization.name}
    kept = {group: choice for group, choice in chosen.items() if group not in params}
    pinned = {key: value for key, value in _plain(first).items() if key in kept or key not in chosen}
    return _file(sweep, kept, pinned, {"params": params}, params, {})


def _params(given: Sequence[str], choices: Mapping[str, str]) -> dict[str, str]:
    """What the sweep is over, of what the command line gave, and what changes a group that it is over."""
    parsed = OverridesParser.create().parse_overrides(list(given))
    lines = [(each, *str(each.input_line).partition("=")[::2]) for each in parsed]
    swept = {key: value for each, key, value in lines if each.is_sweep_override()}
    groups = {key for key in swept if key in choices}
    within = {key: value for _, key, value in lines if key.lstrip("+~").partition(".")[0] in groups}
    return {
        key: value for key, value in (swept | within).items() if not key.startswith(("hydra.", "origin."))
    }


def _plain(config: DictConfig) -> dict[str, Any]:
    """As it stands, unresolved, without what belongs to one sweep alone."""
    kept = [str(key) for key in config if key not in ("hydra", "origin")]
    content = OmegaConf.to_container(OmegaConf.masked_copy(config, kept))
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def _file(
    sweep: str,
    chosen: Mapping[str, str],
    pinned: Mapping[str, Any],
    sweeper: Mapping[str, Any],
    swept: Mapping[str, Any],
    given: Mapping[str, str],
) -> str:
    """`given` is what the sweeper takes from the command line alone."""
    group = "sweep" if any("experiment" in key for key in swept) else "experiment"
    more = [shlex.quote(f"{key}={value}") for key, value in given.items()]
    call = f"{command('train')} -m --config-dir FOLDER +{group}=NAME"
    content = {
        "defaults": [*({f"override /{group}": choice} for group, choice in chosen.items()), "_self_"],
        **pinned,
        "hydra": {"mode": "MULTIRUN", "sweeper": dict(sweeper)},
    }
    return HEAD.format(sweep=sweep, group=group, call=" ".join([call, *more])) + OmegaConf.to_yaml(content)
