"""Hydra: from a command line to jobs. Only this file, `repeat` and the launcher know it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import configure_log
from hydra.types import RunMode
from hydra.utils import get_original_cwd
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.grid_sweeper.grid_sweeper import GridSweeper, grid

from . import completion
from .config import ConfigError
from .kinds import at_home
from .manual import every_setting
from .overrides import for_hydra, params_for_hydra, require_single
from .package import CONF, command
from .settings import FILLED_IN, AboutSettings, DataSettings, Origin

# Beside each function's name a place for the user's own, and numbers that only it may know; beside the data's
# columns what most data have not; and what a person may say of a calibration.
OPEN = {
    group: DictConfig({"function": None}, flags={"struct": False}) for group in ("normalization", "loss")
} | {
    "model": DictConfig({"function": None, "start": DictConfig({}, flags={"struct": False})}),
    "data": DictConfig(
        {
            field.alias or name: None
            for name, field in DataSettings.model_fields.items()
            if field.default is None
        }
        | {"units": DictConfig({}, flags={"struct": False})}
    ),
    "about": DictConfig(dict.fromkeys(AboutSettings.model_fields)),
}
ConfigStore.instance().store(name="functions", node=DictConfig(OPEN), provider=command("train"))

GRIDS = [f"{each.__module__}.{each.__name__}" for each in (GridSweeper, BasicSweeper)]
MODES = ("run", "multirun", "cfg", "info", "help", "hydra_help", "shell_completion")

Job = Callable[[DictConfig], Any]


class Launch:
    """A command line, read; raises ConfigError for flags that are wrong, and Hydra's errors for the rest."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = arguments
        self.parser = get_args_parser()
        self.parser.error = _refuse  # type: ignore[method-assign]  # Hydra's would print a screenful
        self.flags = self.parser.parse_intermixed_args(arguments)  # a flag may follow a setting
        given = [f"--{mode.replace('_', '-')}" for mode in MODES if getattr(self.flags, mode)]
        if len(given) > 1:
            _refuse(f"{' and '.join(given)} exclude each other")
        self.config_name = self.flags.config_name or "config"
        self.given: list[str] = self.flags.overrides
        for key in (each.partition("=")[0].lstrip("+~") for each in self.given):
            if key.partition(".")[0] in FILLED_IN:
                raise ConfigError(f"{key} is filled in by the command: leave it out")
        self.overrides = for_hydra(self.given)
        version.setbase("1.3")
        GlobalHydra.instance().clear()
        self.hydra = Hydra.create_main_hydra2("train", _search_path(self.flags))

    def __enter__(self) -> Launch:
        return self

    def __exit__(self, *error: object) -> None:
        GlobalHydra.instance().clear()

    def tell(self) -> bool:
        """Do what is asked for instead of a run, as by --help or --cfg; whether there was such a thing."""
        flags, hydra, name = self.flags, self.hydra, self.config_name
        if flags.cfg or flags.info:
            require_single(self.given)
        if flags.help:
            if not flags.config_path:  # of a folder without our text
                # asked for here alone: to compose its text takes as long as all the rest
                flags.overrides = ["hydra/help=train", *flags.overrides]
            hydra.app_help(config_name=name, args_parser=self.parser, args=flags)
        elif flags.hydra_help:
            hydra.hydra_help(config_name=name, args_parser=self.parser, args=flags)
        elif flags.cfg:
            hydra.show_cfg(name, self.overrides, flags.cfg, flags.package, flags.resolve)
        elif flags.info:
            hydra.show_info(flags.info, config_name=name, overrides=self.overrides)
        elif flags.shell_completion and (script := completion.script(self.given)):
            print(script)
        elif flags.shell_completion:
            hydra.shell_completion(config_name=name, overrides=self.overrides)
        else:
            return False
        return True

    @cached_property
    def config(self) -> DictConfig:
        """The config that a sweep is over, or that of a single run."""
        config = self.hydra.compose_config(
            self.config_name,
            self.overrides,
            run_mode=RunMode.MULTIRUN,
            with_log_configuration=False,
            validate_sweep_overrides=False,
        )
        if given := config.hydra.sweeper.get("params"):
            OmegaConf.update(config, "hydra.sweeper.params", params_for_hydra(given))
        return config

    @property
    def is_sweep(self) -> bool:
        """Whether a sweep is asked for, by a flag or by a file."""
        return not self.flags.run and (self.flags.multirun or self.config.hydra.mode == RunMode.MULTIRUN)

    @property
    def register(self) -> str | None:
        """The name to register a sweep's best run under; raises ConfigError for several."""
        name = self._one("register", "a sweep registers the model of its best run, under one name")
        return None if name is None else str(name)

    def _one(self, key: str, why: str) -> Any:
        """What a setting is for the whole sweep; raises ConfigError, which says why, where it has several."""
        swept = self.config.hydra.sweeper.get("params") or {}
        lines = [f"{name}={value}" for name, value in swept.items()] + self.overrides
        lines = [line for line in lines if re.match(rf"\+*{key}=", line)]
        for each in (parsed := OverridesParser.create().parse_overrides(lines)):
            if each.is_sweep_override():
                raise ConfigError(f"{each.input_line}: {why}")
        return parsed[-1].value() if key in swept else self.config.get(key)

    @property
    def resume(self) -> bool | str:
        """Which sweep goes on: True for the latest with these settings, a name, or `latest`; False for none.

        Raises ConfigError where settings stand beside a name.
        """
        given: bool | str = self.config.get("resume") or False
        if given is not True and given and (others := self._beside("resume")):
            raise ConfigError(
                f"resume={given} takes its settings from the record: leave out {' '.join(others)}, "
                "or give resume=true to go on with the latest sweep that has these settings"
            )
        return given

    @property
    def repeat(self) -> str | None:
        """Which run is to be trained again; raises ConfigError where settings stand beside it."""
        which = self.config.get("repeat")
        if which is not None and (others := self._beside("repeat")):
            raise ConfigError(
                f"repeat={which} takes its settings from the record: leave out {' '.join(others)}"
            )
        return None if which is None else str(which)

    def _beside(self, key: str) -> list[str]:
        """The settings that are given beside this one."""
        return [each for each in self.given if not re.match(rf"\+*({key}=|hydra[./])", each)]

    def of_record(self, name: str, config: str) -> Launch:
        """The launch of a sweep's own config, with what this one says of Hydra."""
        ConfigStore.instance().store(name, OmegaConf.create(config), provider="record")
        others = [each for each in self.arguments if not re.match(r"\+*resume=", each)]
        return Launch([*others, "--config-name", name])

    @property
    def is_dry(self) -> bool:
        """Whether a forecast alone is asked for; raises ConfigError where none can be given."""
        is_dry = self._one("dry", "a sweep is trained, or it is forecast") is True
        if is_dry and self.resume:
            raise ConfigError("dry=true forecasts what is not trained yet: leave resume out")
        if is_dry and self.is_sweep and self.jobs is None:
            raise ConfigError("dry=true: this sweeper proposes its points by what was trained: leave it out")
        return is_dry

    @property
    def jobs(self) -> int | None:
        """How many jobs the sweep has; None where its sweeper proposes points as it goes."""
        sweeper = self.config.hydra.sweeper
        if sweeper._target_ not in GRIDS:
            return None
        given = [f"{key}={value}" for key, value in (sweeper.params or {}).items()] + self.overrides
        parsed = OverridesParser.create(config_loader=self.hydra.config_loader).parse_overrides(given)
        return len(grid(parsed, sweeper.get("points")))

    def run(self, job: Job) -> Any:
        """What the job returns for a run on its own; raises ConfigError for several values."""
        require_single(self.given)
        more = ["hydra.mode=RUN"]  # a file may ask for a sweep, and --run for none
        return _Composed(self).run(self.config_name, job, more).return_value

    def sweep(self, job: Job, origin: Origin) -> list[Any]:
        """What the job returns for every point of the sweep; raises what the jobs raise.

        Nothing where its sweeper proposes points as it goes.
        """
        belonging = [f"hydra.sweep.dir='{origin.folder}'", f"origin.sweep='{origin.sweep}'"]
        more = [*belonging, f"origin.folder='{origin.folder}'", "hydra.mode=MULTIRUN"]
        batches = _Composed(self).multirun(self.config_name, job, more)
        return [each.return_value for batch in batches or () for each in batch]


class _Composed(Hydra):
    """Hydra over a launch's config, which is composed already: to do it twice takes a tenth of a second."""

    def __init__(self, launch: Launch) -> None:
        super().__init__("train", launch.hydra.config_loader)
        self.launch = launch

    def compose_config(
        self, config_name: str | None, overrides: list[str], run_mode: RunMode, *_: Any, **__: Any
    ) -> DictConfig:
        """The launch's config, with these overrides as if they came before those that it was given."""
        config, given = deepcopy(self.launch.config), self.launch.overrides
        if run_mode is RunMode.RUN and OmegaConf.missing_keys(config.hydra.runtime.choices):
            return super().compose_config(config_name, [*overrides, *given], run_mode)  # says what is missing
        parse = OverridesParser.create().parse_overrides
        parsed = parse(given)
        ConfigLoaderImpl.validate_sweep_overrides_legal(parsed, run_mode, from_shell=True)
        keys = tuple(f"{each.key_or_group}." for each in parsed)
        more = [each for each in parse(overrides) if not f"{each.key_or_group}.".startswith(keys)]
        ConfigLoaderImpl._apply_overrides_to_config(more, config)
        listed = config.hydra.overrides
        listed.hydra = [each.input_line for each in more if each.is_hydra_override()] + listed.hydra
        listed.task = [each.input_line for each in more if not each.is_hydra_override()] + listed.task
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        return config


@contextmanager
def where_it_began() -> Iterator[None]:
    """Inside a job of Hydra's, work in the folder that the command was called from.

    Paths are meant from there, that of the record first of all. A job that has a folder of its own
    (`hydra.job.chdir=true`) would leave its record there, and a sweep's folders are gone when it ends.
    """
    with chdir(get_original_cwd()):
        yield


def _search_path(flags: argparse.Namespace) -> Any:
    path = create_config_search_path(str(Path(at_home(str(flags.config_path or CONF))).absolute()))
    if flags.config_dir is not None:
        folder = Path(at_home(flags.config_dir)).absolute()
        if not folder.is_dir():
            raise ConfigError(f"--config-dir {flags.config_dir}: no such folder")
        path.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))
    return path


def _refuse(message: str) -> NoReturn:
    flag = re.match(r"unrecognized arguments: --([^=\s]+)", message)
    if flag and flag[1] in every_setting():
        raise ConfigError(f"--{flag[1]} is no option but a setting: write {flag[1]}=VALUE")
    raise ConfigError(f"{message}; see {command('train')} --help")
