"""What a person writes as KEY=VALUE -> as Hydra reads it: numbers by a rule expanded, texts in quotes.

Which settings are texts, their types in `settings.py` say. What can be read in two ways is refused, with the
line to paste for each.
"""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from .config import ConfigError
from .manual import every_setting
from .package import CONF
from .ranges import expanded
from .settings import types_of
from .spelling import in_quotes

OVERRIDE = re.compile(r"(?P<plus>\+{0,2})(?P<key>[^=~+][^=]*)=(?P<value>.*)", re.DOTALL)
PLAIN = re.compile(r"[\w.+-]+(,[\w.+-]+)*", re.ASCII)  # numbers and words, one or several: Hydra's own
QUOTES = "'\""
UNQUOTED = re.compile(rf"[^{QUOTES}()\[\]{{}}]*")  # of which each comma is between two values


def for_hydra(given: Sequence[str]) -> list[str]:
    """The overrides of a command line, as Hydra reads them; raises ConfigError with every mistake in them."""
    _require_whole(given)
    mistakes = list(_given_twice(given))
    found = []
    for override in given:
        try:
            found.append(_for_hydra(override))
            mistakes += _repeated(found[-1])
        except ConfigError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigError("; ".join(mistakes))
    return found


def params_for_hydra(params: Mapping[str, Any] | None) -> dict[str, Any]:
    """The same for what a file sweeps over, `hydra.sweeper.params`."""
    found = for_hydra([f"{key}={value}" for key, value in (params or {}).items()])
    return dict(zip(params or (), (each.partition("=")[2] for each in found), strict=True))


def require_single(given: Iterable[str]) -> None:
    """Raises ConfigError for overrides that give several values, which only a sweep takes."""
    for override in given:
        found = OVERRIDE.fullmatch(override)
        if not found or not re.search(r"[,(]", found["value"]):
            continue
        if (parsed := _parsed(for_hydra([override])[0])) and parsed.is_sweep_override():
            is_text = str in types_of(found["key"])
            one = f", or, for one value, give {_to_paste(override)}" if is_text else ""
            raise ConfigError(f"{override} gives several values: add -m (--multirun) to sweep over them{one}")


def _require_whole(given: Sequence[str]) -> None:
    """Raises ConfigError for pieces of a setting, with what to write where blanks have cut it."""
    pieces = [each for each in given if not OVERRIDE.fullmatch(each) and not each.startswith("~")]
    if pieces:
        whole = re.sub(r"\s*([=,])\s*", r"\1", " ".join(given)).split(" ")
        meant = [each for each in whole if each not in given]
        is_known = meant and all("=" in each and _parsed(each) for each in meant)
        hint = f"{' '.join(meant)}, without blanks" if is_known else "KEY=VALUE"
        if len(pieces) == 1 and Path(pieces[0]).is_file():
            hint = shlex.quote(f"data.path={pieces[0]}")
        raise ConfigError(f"{_and(map(repr, pieces))} cannot be read: write {hint}")


def _given_twice(given: Sequence[str]) -> Iterator[str]:
    by_key: dict[str, list[re.Match[str]]] = defaultdict(list)
    for found in filter(None, map(OVERRIDE.fullmatch, given)):
        by_key[found["key"]].append(found)
    for key, several in by_key.items():
        if len(several) > 1:
            times = "twice" if len(several) == 2 else f"{len(several)} times"
            setting = every_setting().get(key)
            is_swept = bool(setting.about.param) if setting else _is_choice(key)
            swept = f"{key}={','.join(each['value'] for each in several)}"
            can_be = is_swept and not any(_repeated(swept))
            both = f", or sweep over them as -m {shlex.quote(swept)}" if can_be else ""
            yield f"{key} is given {times}, {_and(each[0] for each in several)}: give one{both}"


def _repeated(override: str) -> Iterator[str]:
    """What names a value several times: a sweep would train it as often, to the same numbers."""
    key, _, value = override.partition("=")
    if "," not in value or not UNQUOTED.fullmatch(value):
        return
    types = types_of(key.lstrip("+"))
    spellings: dict[object, list[str]] = defaultdict(list)
    for text in value.split(","):
        spellings[text if types == {str} else _number_or(text)].append(text)
    for several in spellings.values():
        if len(several) > 1:
            yield f"{key}: {_and(several)} are one value: give it once"


def _number_or(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _for_hydra(override: str) -> str:
    found = OVERRIDE.fullmatch(override)
    if not found:  # ~KEY
        return override
    plus, key, value = found.groups()
    if not _parsed(f"{plus}{key}=x"):
        is_unit = key.startswith("data.units.")
        rename = "rename it in the function, for Hydra reads ASCII letters alone"
        hint = "write KEY=VALUE" if key.isascii() else rename
        hint = "give data.input_unit=UNIT or data.target_unit=UNIT" if is_unit else hint
        raise ConfigError(f"{key!r} cannot be read as a setting: {hint}")
    return f"{plus}{key}={_value_for_hydra(key, value)}"


def _value_for_hydra(key: str, value: str) -> str:
    types = types_of(key)
    if str in types:
        return _text_for_hydra(key, value, types)
    if _is_choice(key) and PLAIN.fullmatch(value):
        return ",".join(_text_for_hydra(key, each, {str}) for each in value.split(","))
    try:
        found = value if re.match(r"hydra\b", key) else expanded(value, whole=int in types)
    except ValueError as error:
        raise ConfigError(f"{key}={value} is not allowed: {error}") from error
    if not PLAIN.fullmatch(found) and not _is_readable(key, found):
        raise ConfigError(f"{key}={value} cannot be read: {_meant(key, value)}")
    return found


def _is_choice(key: str) -> bool:
    """Whether it chooses a file of `conf/`, as `model=quadratic` does: by a name, which is never a number."""
    return "/" not in key and (CONF / key).is_dir()


def _is_readable(key: str, value: str) -> bool:
    """Whether Hydra reads it as something that a setting may be: no list."""
    parsed = _parsed(f"{key}={value}")
    return parsed is not None and not (key in every_setting() and isinstance(parsed.value(), list))


def _meant(key: str, value: str) -> str:
    """What to write in place of a value that is no text and cannot be read."""
    if not (setting := every_setting().get(key)):
        return f"write {_to_paste(f'{key}={value}')}"
    several = re.sub(r"[\s,;]+", ",", value.strip("()[]{} "))
    is_list = "," in several and PLAIN.fullmatch(several)
    return f"give {setting.about.allowed}{f', or several as -m {key}={several}' if is_list else ''}"


def _text_for_hydra(key: str, value: str, types: set[Any]) -> str:
    """A value of a setting that is a text: in quotes where Hydra would read anything else, or nothing.

    Commas make it several, as in any setting; raises ConfigError where they may be part of a name.
    """
    parsed = _parsed(f"{key}={value}")
    is_sweep = bool(parsed and parsed.is_sweep_override())
    if "," in value and (parsed is None or (is_sweep and PLAIN.fullmatch(value))):
        several = [each.strip() for each in value.split(",")]
        if not all(map(_is_balanced, several)):
            raise ConfigError(_ambiguous(key, value, several))
        return ",".join(_text_for_hydra(key, each, types) for each in several)
    return value if parsed and (is_sweep or _is_meant(parsed.value(), types)) else in_quotes(value)


def _is_balanced(text: str) -> bool:
    is_closed = all(text.count(first) == text.count(last) for first, last in ("()", "[]", "{}"))
    return is_closed and not any(text.count(quote) % 2 for quote in QUOTES)


def _is_meant(read: object, types: set[Any]) -> bool:
    """Whether what Hydra reads is such a setting's value."""
    return isinstance(read, str) or type(read) in types or (type(read) is int and float in types)


def _ambiguous(key: str, value: str, several: Iterable[str]) -> str:
    swept = ",".join(in_quotes(each.strip(QUOTES)) for each in several)
    return (
        f"{key}={value} may be one value or several: for one give {_to_paste(f'{key}={value}')}, "
        f"for several -m {shlex.quote(f'{key}={swept}')}"
    )


def _to_paste(override: str) -> str:
    """The override as a shell takes it, its value as one text."""
    key, _, value = override.partition("=")
    return shlex.quote(f"{key}={in_quotes(value)}")


def _parsed(override: str) -> Override | None:
    """As Hydra reads it; None where it cannot."""
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:
        return None


def _and(texts: Iterable[str]) -> str:
    *others, last = texts
    return f"{', '.join(others)} and {last}" if others else last
