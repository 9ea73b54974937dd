"""Composing the many configs of a sweep: one full Hydra composition per choice of config groups.

Whatever is not plainly a new value for a setting that is already there goes a slower way, and
whatever goes wrong is composed once more by Hydra itself, so that the message is Hydra's own.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.types import RunMode
from omegaconf import AnyNode, DictConfig, OmegaConf, ValueNode, open_dict, read_write
from omegaconf._utils import split_key

from ._deferred import Deferred
from ._numbers import one_number, with_value
from ._plain import PlainData, is_plain, put
from ._questions import answer, answer_at_once, is_about_job, is_question, questions


class SweepLoader(ConfigLoaderImpl):
    """Hydra's loader, quick at what a sweep asks for: one config over and over, a bit changed.

    `master_config` is the sweep's own config. For any other this is Hydra's loader and no more.
    """

    def __init__(self, config_search_path: ConfigSearchPath, master_config: DictConfig) -> None:
        super().__init__(config_search_path)
        self._master = master_config
        self._parser = OverridesParser.create()
        self._parsed: dict[str, Override] = {}
        self._groups: dict[str, bool] = {}
        self._bases: dict[tuple[str, ...], _Base] = {}

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """Compose one job's config, or raise what Hydra raises where its overrides are wrong.

        Where validity is known without composing, the config composes itself when looked at; a
        sweeper that only validates never looks.
        """
        if master_config is not self._master:
            return super().load_sweep_config(master_config, sweep_overrides)
        job = self._plain_job(sweep_overrides)
        if job is not None:
            return Deferred(job.full_config)
        try:
            return self._job(sweep_overrides).full_config()
        except Exception:
            return super().load_sweep_config(master_config, sweep_overrides)

    def job_config(self, overrides: list[str], number: int) -> DictConfig:
        """What job `number`'s task is given: the config without its `hydra` node.

        Where its data is known without composing, it composes itself when looked at.
        """
        job = self._plain_job(overrides)
        if job is not None and job.has_plain_data:
            return Deferred(partial(self._job_config, overrides, number), partial(job.data, number))
        return self._job_config(overrides, number)

    def _job_config(self, overrides: list[str], number: int) -> DictConfig:
        """Compose it.

        Interpolations that ask Hydra about the job (`${hydra:job.num}`) are answered here, since
        nobody can once the configs of many jobs lie side by side.
        """
        job = self._plain_job(overrides)
        if job is not None and not job.asks_hydra:
            return job.config()
        if job is not None:
            config, hydra = job.config(), job.base.hydra
        else:
            config = self.load_sweep_config(self._master, overrides)
            hydra = _detach_hydra(config)
        asked = list(questions(config))
        if job is not None and answer_at_once(asked, overrides, number):
            return config
        with _attached(hydra, config):
            if job is not None:
                _describe(config, job.overrides)
            _number(config, number)
            if not all(is_about_job(question) for _, _, question in asked):
                _place(config)
            answer(asked)
        return config

    def hydra_config(self, overrides: list[str], number: int) -> DictConfig:
        """Compose the whole config of job `number`, `hydra` as it would be while the job runs."""
        config = self.load_sweep_config(self._master, overrides)
        _number(config, number)
        _place(config)
        OmegaConf.set_readonly(config.hydra, True)
        return config

    def _plain_job(self, lines: Sequence[str]) -> _Job | None:
        """Return the job if it only gives new values to settings that are there, and rightly so."""
        try:
            job = self._job(lines)
            return job if all(job.base.accepts(value) for value in job.values) else None
        except Exception:
            return None

    def _job(self, lines: Sequence[str]) -> _Job:
        overrides = [self._parse(line) for line in lines]
        choices = [override for override in overrides if self._is_choice(override)]
        values = [override for override in overrides if not self._is_choice(override)]
        base = self._base(tuple(str(choice.input_line) for choice in choices))
        return _Job(self._master, base, overrides, values)

    def _parse(self, line: str) -> Override:
        if line in self._parsed:
            return self._parsed[line]
        found = one_number(line)
        if found and line != f"{found[0]}=0":
            key, number = found  # as legal as the key's 0, which Hydra's parser reads once
            changed: Override = with_value(self._parse(f"{key}=0"), number, line)
            return changed  # and not kept: there may be a million
        override = self._parser.parse_override(line)
        self.validate_sweep_overrides_legal([override], RunMode.RUN, from_shell=True)
        if re.match(r"hydra\b", override.key_or_group):
            raise NotImplementedError("a job of its own mind about hydra: Hydra's to compose")
        self._parsed[line] = override
        return override

    def _is_choice(self, override: Override) -> bool:
        """Whether it picks from a config group, by the rule of Hydra's defaults list."""
        key = override.key_or_group
        if key not in self._groups:
            self._groups[key] = self._repository.group_exists(key)
        return self._groups[key] and not isinstance(override.value(), dict)

    @cached_property
    def _repository(self) -> Any:
        hydra = self._master.hydra
        return self._parse_overrides_and_create_caching_repo(
            hydra.job.config_name, list(hydra.overrides.hydra)
        )[1]

    def _base(self, choices: tuple[str, ...]) -> _Base:
        if choices not in self._bases:
            self._bases[choices] = _Base(super().load_sweep_config(self._master, list(choices)))
        return self._bases[choices]


class _Base:
    """One choice of config groups: composed in full once, copied for every job that makes it."""

    def __init__(self, config: DictConfig) -> None:
        if "${" in repr([config.hydra.job._get_node(key) for key in ("name", "env_copy")]):
            # Hydra reads these two while composing, when the job's own values are already in.
            raise NotImplementedError("composition depends on values: Hydra's to do")
        self.copy = _copier(config)
        self.hydra = _detach_hydra(config)
        self.copy_without_hydra = _copier(config)
        self.asks_hydra = any(True for _ in questions(config))
        self.data = PlainData.of(config)
        self._trial = config
        self._accepted: set[str | None] = set()
        self._untyped: dict[str, bool] = {}

    def accepts(self, override: Override) -> bool:
        """Whether it plainly gives a new value to a setting that is there; raise if it may not.

        One trial per override is enough: such overrides cannot get into each other's way. Of plain values
        for an untyped setting one is enough, too: it takes all of them or none.
        """
        tried = override.key_or_group if self.takes_as_it_is(override) else override.input_line
        if tried not in self._accepted and _sets_value(override, self._trial):
            _apply([override], self._trial)
            self._accepted.add(tried)
        return tried in self._accepted

    def takes_as_it_is(self, override: Override) -> bool:
        """Whether it sets a plain value, not to be read any further, in a place without a type."""
        if override.type is not OverrideType.CHANGE or not is_plain(override.value()):
            return False
        key = override.key_or_group
        if key not in self._untyped:
            self._untyped[key] = type(_node(key, self._trial)) is AnyNode
        return self._untyped[key]


@dataclass(frozen=True, slots=True)
class _Job:
    master: DictConfig
    base: _Base
    overrides: list[Override]
    values: list[Override]

    @property
    def asks_hydra(self) -> bool:
        return self.base.asks_hydra or any(is_question(str(override.input_line)) for override in self.values)

    @property
    def has_plain_data(self) -> bool:
        return self.base.data is not None and all(map(self.base.takes_as_it_is, self.values))

    def data(self, number: int) -> dict[Any, Any]:
        """What `OmegaConf.to_container(config, resolve=True)` gives of job `number`'s config."""
        assert self.base.data is not None
        lines = [str(override.input_line) for override in self.overrides]
        data = self.base.data.answered(lines, number)
        for override in self.values:
            put(data, _keys(override.key_or_group), override.value())
        return data

    def config(self) -> DictConfig:
        return self._changed(self.base.copy_without_hydra())

    def full_config(self) -> DictConfig:
        config = self._changed(self.base.copy())
        _describe(config, self.overrides)
        return config

    def _changed(self, config: DictConfig) -> DictConfig:
        _apply(self.values, config)
        OmegaConf.copy_cache(from_config=self.master, to_config=config)
        return config


_apply = ConfigLoaderImpl._apply_overrides_to_config


def _copier(config: DictConfig) -> Callable[[], DictConfig]:
    """Copy by unpickling: a fifth of deepcopy's time. Not everything can be pickled."""
    try:
        return partial(pickle.loads, pickle.dumps(config, pickle.HIGHEST_PROTOCOL))
    except Exception:
        return partial(deepcopy, deepcopy(config))


def _sets_value(override: Override, config: DictConfig) -> bool:
    """Whether the override replaces a single value by another, and looks at nothing else."""
    if override.type is not OverrideType.CHANGE or isinstance(override.value(), dict | list):
        return False
    return isinstance(_node(override.key_or_group, config), ValueNode)


_keys = cache(split_key)


def _node(path: str, config: DictConfig) -> Any:
    """What stands at a path of mappings; None where nothing does."""
    node: Any = config
    for key in _keys(path):
        if not isinstance(node, DictConfig) or not isinstance(node._content, dict):
            return None
        node = node._content.get(key)
    return node


def _describe(config: DictConfig, overrides: list[Override]) -> None:
    """Tell the `hydra` node which overrides made this config, in the places Hydra does."""
    hydra = config.hydra
    hydra.overrides.task = [override.input_line for override in overrides]
    spelling = hydra.job.config.override_dirname
    hydra.job.override_dirname = get_overrides_dirname(
        overrides=overrides,
        kv_sep=spelling.kv_sep,
        item_sep=spelling.item_sep,
        exclude_keys=spelling.exclude_keys,
    )


def _number(config: DictConfig, number: int) -> None:
    """Tell the `hydra` node which job of the sweep this is."""
    job = config.hydra.job
    with read_write(job), open_dict(job):
        job.id = job.num = number


def _place(config: DictConfig) -> None:
    """Tell the `hydra` node where this job's output would lie."""
    hydra = config.hydra
    place = os.path.join(str(hydra.sweep.dir), str(hydra.sweep.subdir))  # noqa: PTH118
    with read_write(hydra.runtime), open_dict(hydra.runtime):
        # As Hydra spells it; Path.absolute keeps the "..".
        hydra.runtime.output_dir = os.path.abspath(place)  # noqa: PTH100


@contextmanager
def _attached(hydra: DictConfig, config: DictConfig) -> Iterator[None]:
    """Make `config` the current job's, with a `hydra` node that need not be copied for it."""
    current = HydraConfig.instance()
    before = current.cfg
    config.__dict__["_content"]["hydra"] = hydra
    hydra._set_parent(config)
    current.cfg = config  # type: ignore[assignment]
    try:
        yield
    finally:
        current.cfg = before
        _detach_hydra(config)


def _detach_hydra(config: DictConfig) -> DictConfig:
    """Take the `hydra` node out of a config, whatever the config's flags."""
    node: DictConfig = config.__dict__["_content"].pop("hydra")
    return node
