"""A composed config -> checked settings, or every mistake in it at once.

Everything a command line can get wrong is found here, before torch or MLflow is imported, so that a
mistake answers within a second.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any, get_origin
from unicodedata import category

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from hydra_plugins.batch_launcher import plain_data

from .choices import Group
from .kinds import About
from .manual import for_terminal
from .package import CONF, NAME, command
from .settings import FILLED_IN, Settings, about

# What conf/ asks: ${package:train.train} is src.train.train in a checkout, ${allowed:} what settings may be
OmegaConf.register_new_resolver("package", lambda path: f"{NAME}.{path}", replace=True)
OmegaConf.register_new_resolver("command", command, replace=True)
OmegaConf.register_new_resolver("allowed", for_terminal, replace=True)


class ConfigError(Exception):
    """A mistake of the user's: says what was given, what is allowed, what to do. Exit code 2."""


# Groups of settings that were checked, by their data, which is kept for its identity
Known = dict[int, tuple[dict[Any, Any], Group]]


def check(cfg: DictConfig, known: Known | None = None) -> Settings:
    """The settings of a composed config; raises ConfigError with every mistake in it.

    With `known`, handed on from config to config, groups that a launcher's jobs share are checked once, and
    shared by their settings, too.
    """
    known = {} if known is None else known
    data = plain_data(cfg) or _data(cfg)
    try:
        settings = Settings.model_validate(
            {key: known[id(each)][1] if id(each) in known else each for key, each in data.items()}
        )
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(error))) from error
    known |= {id(data[key]): (data[key], each) for key, each in _groups(settings) if key in data}
    return settings


def _groups(settings: Settings) -> Iterator[tuple[str, Group]]:
    return ((key, each) for key, each in settings if isinstance(each, Group))


def _data(cfg: DictConfig) -> Any:
    try:
        return OmegaConf.to_container(_outside_hydra(cfg), resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(one_line(error)) from error


def _outside_hydra(cfg: DictConfig) -> DictConfig:
    """The config, less what only a job of Hydra's can resolve where it is none, as in a notebook."""
    try:
        _ = cfg.get("origin", {}).get("job")
    except OmegaConfBaseException:
        return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "origin"])
    return cfg


def one_line(error: BaseException) -> str:
    """An error's text without its line breaks, and without passwords."""
    return printable(without_passwords(" ".join(str(error).split())))


def printable(text: str) -> str:
    r"""The text with nothing in it that would command a terminal, as a name from a file may.

    >>> printable("red \x1b[31m, ringing \x07")
    'red �[31m, ringing �'
    """
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if category(each) == "Cc" and each != "\n" else each for each in text
    )


# user:password@ or token@ before a host, and ?password=…; a port is no password
_SECRETS = re.compile(
    r"(?<=://)(?:[^/@\s]*|[^/:@\s]*:(?!\d+/)[^@\s]*)@"
    r"|(?<=[?&])\w*(?:password|token|secret)\w*=[^&\s'\"]*",
    re.IGNORECASE,
)


def without_passwords(text: str) -> str:
    """The text, less what gives access in any address in it; without it an address still opens, and asks.

    >>> without_passwords("no answer from http://me:secret@host:5000/x, nor postgresql://me:a/b@host/x?password=c")
    'no answer from http://host:5000/x, nor postgresql://host/x?'
    >>> without_passwords("sqlite:////home/me@work/runs.db")
    'sqlite:////home/me@work/runs.db'
    """
    return _SECRETS.sub("", text)


def _explain(error: ValidationError) -> list[str]:
    """One clause for each mistake: what was given and what is allowed."""
    clauses = []
    for detail in error.errors():
        path = _setting([str(part) for part in detail["loc"]])
        key = ".".join(path).removesuffix(".name")
        if key == "experiment":
            clauses.append("the file of +experiment=NAME begins with the line # @package _global_: add it")
        elif detail["type"] == "extra_forbidden":
            clauses.append(
                no_such_setting(key, [each for each in _fields(path[:-1]) if each not in FILLED_IN])
            )
        elif detail["type"] == "missing":
            clauses.append(f"{key} is missing: give {_allowed(path)}")
        elif detail["type"] == "model_type" and (CONF / key).is_dir():
            written = f"defaults: [override /{key}: {_shown(detail['input'])}]"
            clauses.append(f"{key}={_shown(detail['input'])} is not allowed here: in a file give {written}")
        elif sentence := str(detail.get("ctx", {}).get("error", "")):  # of our own, from a validator
            clauses.append(sentence)
        else:
            clauses.append(f"{key}={_shown(detail['input'])} is not allowed: give {_allowed(path)}")
    return list(dict.fromkeys(clauses))


def _setting(path: list[str]) -> list[str]:
    """The path of the setting alone, without the kind of value that it was tried as."""
    for depth in range(1, len(path)):
        kind = getattr(_fields(path[: depth - 1]).get(path[depth - 1]), "annotation", dict)
        if not isinstance(kind, type) and get_origin(kind) is not dict:
            return path[:depth]
    return path


def _shown(value: object) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _fields(path: Sequence[str]) -> dict[str, Any]:
    """The fields under a path of settings, by the key that the command line gives them; none of a leaf."""
    group: Any = Settings
    for part in path:
        group = getattr(_by_key(group).get(part), "annotation", None)
    return _by_key(group)


def _by_key(group: Any) -> dict[str, Any]:
    return {field.alias or name: field for name, field in getattr(group, "model_fields", {}).items()}


def _said(path: Sequence[str]) -> About | None:
    """What is said of the setting at a path, or above it: model.start.w is told at model.start."""
    for depth in range(len(path), 0, -1):
        field = _fields(path[: depth - 1]).get(path[depth - 1])
        if field is not None and field.metadata:
            return about(field)
    return None


def _allowed(path: Sequence[str]) -> str:
    said = _said(path)
    return said.allowed if said else ", ".join(_fields(path)) or "another"


def no_such_setting(key: str, names: Sequence[str]) -> str:
    """Says that a setting does not exist, which `names` stand in its place, and which may be meant."""
    *parents, wrong = key.split(".")
    near = difflib.get_close_matches(wrong, names, n=1)
    meant = f"did you mean {'.'.join([*parents, near[0]])}? " if near else ""
    where = f"{'.'.join(parents)} has" if parents else "the settings are"
    return f"there is no setting {key}: {meant}{where} {', '.join(names) or 'none'}"
