"""How a run's settings are spelled: on record and read back, in its name, as overrides.

All of it follows from the list in `settings.py`.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from .functions import parameter_names, resolve
from .losses import LOSSES
from .models import MODELS
from .normalization import NORMALIZATIONS, UNCHANGED, Affine
from .package import CONF
from .polynomial import is_polynomial
from .settings import DataSettings, Setting, Settings, settings_with

SIGMA = "data_sigma"  # the param of runs whose observations have weights
HELD_OUT = ("data_validation", "data_seed")  # those of runs with observations that validate
SHIFT, SCALE = "normalization_shift", "normalization_scale"  # the params of what was fitted


def settings_of(settings: Settings) -> tuple[Setting, ...]:
    """Every setting that these have, in the order of the record."""
    return settings_with(settings.normalization.name, settings.loss.name, settings.model.name)


def settings_on_record(recorded: Mapping[str, str]) -> tuple[Setting, ...]:
    """Every setting of a run with these params; raises KeyError for another program's run."""
    return settings_with(*_functions(recorded))


def _functions(recorded: Mapping[str, str]) -> tuple[str, str, str, tuple[str, ...]]:
    """What decides which settings a run has, as `settings_with` takes it."""
    gone = tuple(key.removeprefix("start_") for key in recorded if key.startswith("start_"))
    return recorded["normalization"], recorded.get("loss", FIRST_LOSS), recorded["model"], gone


FIRST_LOSS = next(iter(LOSSES))  # of the runs on record from before there was a choice
# any functions will do for what does not depend on them
ANY = settings_with(next(iter(NORMALIZATIONS)), FIRST_LOSS, next(iter(MODELS)))
RECORDED = [each for each in ANY if each.about.param]
ALWAYS = [each.about.param for each in RECORDED if each.about.always]
PROBLEM = [each.about.param for each in sorted(RECORDED, key=lambda each: each.group) if each.about.problem]
GROUPS = list(dict.fromkeys(each.group for each in RECORDED if each.group))
REQUIRED = [name for name, field in DataSettings.model_fields.items() if field.is_required()]
DATA = [each.about.param for each in RECORDED if each.group == "data" and each.path[1] in REQUIRED]
CHOICES = [each.about.param for each in RECORDED if each.path[1:] == ("name",)]  # of functions
DETAILS = {each.about.param.partition("_")[0] for each in RECORDED if "_" in each.about.param} | {
    "normalization",
    "loss",
}


def is_detail(param: str) -> bool:
    """Whether a param mostly follows from another: data_input from data, start_w from model."""
    return "_" in param and param.partition("_")[0] in DETAILS


class Row(NamedTuple):
    """A setting with its value: as it is on record, as an override, in a run's name with its place there.

    None where it is not.
    """

    setting: Setting
    value: Any
    recorded: str | None
    override: tuple[str, str] | None
    named: tuple[int, str] | None


@dataclass(frozen=True)
class Spelling:
    """How a run's settings are spelled, in the order of the record."""

    settings: Settings
    rows: Sequence[Row]

    def params(self, fitted: Affine) -> dict[str, str]:
        """What is on record of the settings, with the normalization as it was fitted.

        An option that the fit shows as it stands, like the factor of `scale`, is not recorded twice.
        """
        recorded: dict[str, str] = {}
        for setting, value, text, *_ in self.rows:
            if text is not None and not (value == fitted.scale and _is_option(setting)):
                recorded[setting.about.param] = text
            if setting.about.param == "normalization":
                recorded |= {SHIFT: repr(fitted.shift), SCALE: repr(fitted.scale)}
        return recorded

    @property
    def overrides(self) -> dict[str, str]:
        """What to give Hydra, by key, for all that decides the numbers and is not the default."""
        return dict(row.override for row in self.rows if row.override)

    @property
    def name(self) -> str:
        """Short, and what tells a sweep's runs apart comes first: `lr=0.01 zscore 5000`.

        What is the default goes without saying.
        """
        parts = sorted((row.named for row in self.rows if row.named), key=lambda part: part[0])
        return " ".join(text for _, text in parts)


class Speller:
    """Spells the settings of many runs: groups of settings that they share are spelled once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], tuple[Spelling, list[int]]] = {}

    def spell(self, settings: Settings) -> Spelling:
        """How these are spelled."""
        groups = tuple(id(getattr(settings, group)) for group in GROUPS)  # as a sweep's jobs share them
        if groups not in self._known:
            told = [each for each in settings_of(settings) if each.about.param or each.about.decides]
            first = Spelling(settings, [_row(each, settings) for each in told])
            self._known[groups] = first, [place for place, each in enumerate(told) if not each.group]
        like, own = self._known[groups]
        rows = list(like.rows)
        for place in own:
            if rows[place].value != rows[place].setting.value(settings):
                rows[place] = _row(rows[place].setting, settings)
        return Spelling(settings, rows)


def _row(setting: Setting, settings: Settings) -> Row:
    about, value = setting.about, setting.value(settings)
    defaults = _defaults(settings)
    text = None if value is None else _text(value)
    is_override = about.param and (about.always or value != defaults.get(setting.path))
    named = None
    if (reads := about.in_name) and text is not None:
        usual = reads(_text(defaults.get(setting.path, "nan")))
        named = reads(text) if about.always or reads(text) != usual else None
    return Row(
        setting,
        value,
        text if about.param else None,
        (key_of(setting, value), spelled(value)) if is_override else None,
        None if named is None else (about.place, named),
    )


def params(settings: Settings, fitted: Affine) -> dict[str, str]:
    """What is on record of the settings, with the normalization as it was fitted."""
    return Speller().spell(settings).params(fitted)


def from_params(recorded: Mapping[str, str], units: Mapping[str, str]) -> Settings:
    """The settings that a run was trained with, from its params and its columns' units.

    Raises KeyError or ValueError for params that are not those of a run of this project's.
    """
    nested: dict[str, Any] = {"tracking": {"experiment": "?"}, "data": {"units": dict(units)}}
    for setting in settings_on_record(recorded):
        [text] = _recorded(setting, [recorded])
        if text is not None:  # what older runs lack has a default
            *parents, last = setting.path
            place = nested
            for part in parents:
                place = place.setdefault(part, {})
            place[last] = text
    return Settings.model_validate(nested)


def parameters(recorded: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the model's parameters, in its order; of a model that is gone, as they are on record."""
    try:
        return parameter_names(resolve(recorded.get("model", ""), MODELS))
    except LookupError:
        return tuple(key.removeprefix("start_") for key in recorded if key.startswith("start_"))


def is_raw(recorded: Mapping[str, str]) -> bool:
    """Whether a run's parameters are known in raw input units: a polynomial's are."""
    if (recorded.get(SHIFT), recorded.get(SCALE)) == (repr(UNCHANGED.shift), repr(UNCHANGED.scale)):
        return True
    try:
        return is_polynomial(resolve(recorded.get("model", ""), MODELS), len(parameters(recorded)))
    except LookupError:
        return False


def best_is(recorded: Mapping[str, str]) -> str:
    """What a run's best fit is called: an exact optimum where it has a closed form."""
    model, names = MODELS.get(recorded["model"]), parameters(recorded)
    is_closed = (
        model is not None
        and is_polynomial(model, len(names))
        and recorded.get("loss", FIRST_LOSS) == FIRST_LOSS
    )
    return "exact optimum" if is_closed else "best fit"


def run_name(settings: Settings) -> str:
    """What a run with these is called."""
    return Speller().spell(settings).name


def overrides(settings: Settings) -> dict[str, str]:
    """What to give Hydra for these."""
    return Speller().spell(settings).overrides


def swept(runs: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """What differs between runs with these params, by key, each with its values: `{"lr": "0.01,0.001"}`."""
    alike: dict[tuple[Any, ...], list[Mapping[str, str]]] = defaultdict(list)
    for recorded in runs:
        alike[_functions(recorded)].append(recorded)
    values: dict[str, set[str]] = {}
    for functions, several in alike.items():
        for setting in settings_with(*functions):
            texts = {text.removesuffix(".0") for text in {*_recorded(setting, several)} if text is not None}
            values.setdefault(setting.key, set()).update(texts)
    return {key: ",".join(sorted(given, key=natural)) for key, given in values.items() if len(given) > 1}


def natural(value: str) -> tuple[float, str]:
    """Orders numbers by size, then texts."""
    try:
        return float(value), ""
    except ValueError:
        return math.inf, value


def _recorded(setting: Setting, several: Iterable[Mapping[str, str]]) -> list[str | None]:
    """A setting's text on record of each, None where it has none: an option not there is what was fitted."""
    param = setting.about.param
    if _is_option(setting):
        return [recorded.get(param, recorded.get(SCALE)) for recorded in several]
    return [recorded.get(param) for recorded in several]


def _is_option(setting: Setting) -> bool:
    """Whether it is a number that a normalization takes."""
    return setting.group == "normalization" and setting.path[1] != "name"


def in_words(param: str, recorded: Mapping[str, str]) -> str:
    """One of a run's params in a word or two: `zscore`, `500 epochs`, `dtype=float32`, `×0.1`."""
    text = recorded.get(param, "")
    if not text or not {"normalization", "model"} <= recorded.keys():
        return text
    settings = settings_on_record(recorded)
    if param == SCALE:
        has_options = any(map(_is_option, settings))
        return f"×{float(text):g}" if has_options else ""
    known = {each.about.param: each.about.reads for each in settings}
    return known[param](text) if param in known else f"{param}={text}"


def key_of(setting: Setting, value: object) -> str:
    """What the command line calls a setting: a function of the user's is not chosen by its group's name."""
    is_own = setting.path[-1] == "name" and "." in str(value)
    return f"{setting.key}.function" if is_own else setting.key


def _defaults(settings: Settings) -> dict[tuple[str, ...], Any]:
    """What conf/ gives a run with these functions where nothing else is asked for, by path."""
    return _chosen_defaults(settings.normalization.name, settings.model.name, settings.loss.name)


@cache
def shipped_choices() -> dict[str, str]:
    """The choice that conf/ makes of each group."""
    groups = [each for each in _read("config.yaml")["defaults"] if isinstance(each, dict)]
    return {str(group): str(choice) for each in groups for group, choice in each.items() if " " not in group}


def shipped_defaults() -> dict[tuple[str, ...], Any]:
    """What conf/ gives where nothing at all is asked for, by path."""
    chosen = shipped_choices()
    return _chosen_defaults(chosen["normalization"], chosen["model"], chosen["loss"])


@cache
def _chosen_defaults(normalization: str, model: str, loss: str) -> dict[tuple[str, ...], Any]:
    chosen = shipped_choices()
    defaults = dict(_without_choices())
    for group, choice in (chosen | {"normalization": normalization, "model": model, "loss": loss}).items():
        defaults |= defaults_of(group, choice)
    return defaults | {(group, "name"): choice for group, choice in chosen.items()}


@cache
def _without_choices() -> dict[tuple[str, ...], Any]:
    main = _read("config.yaml")
    del main["defaults"]
    return flat(main, ())


@cache
def defaults_of(group: str, choice: str) -> dict[tuple[str, ...], Any]:
    """What a choice's file in conf/ gives, by path; nothing where it is not the project's."""
    there = (CONF / group / f"{choice}.yaml").is_file()
    return flat(_read(f"{group}/{choice}.yaml"), (group,)) if there else {}


def _read(name: str) -> Any:
    return OmegaConf.to_container(OmegaConf.load(CONF / name))


def flat(values: Any, path: tuple[str, ...]) -> dict[tuple[str, ...], Any]:
    """Nested settings by path."""
    if not isinstance(values, dict):
        return {path: values}
    return {key: value for name in values for key, value in flat(values[name], (*path, str(name))).items()}


def _text(value: object) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def spelled(value: object) -> str:
    """As Hydra reads it: numbers as short as they are, a text in quotes where it could be anything else."""
    text = "null" if value is None else _text(value)
    if isinstance(value, float):
        return text.removesuffix(".0")
    if value is None:
        return text
    if isinstance(value, bool):
        return text.lower()
    is_plain = not isinstance(value, str) or re.fullmatch(r"[A-Za-z_.][\w./-]*", text, re.ASCII)
    is_word = text.lower() in ("true", "false", "null", "nan", "inf")
    return text if is_plain and not is_word else in_quotes(text, "'")


def in_quotes(text: str, quote: str = '"') -> str:
    """A text as Hydra reads it within quotes."""
    return quote + re.sub(rf"(\\*)({quote}|$)", _escaped, text) + quote


def _escaped(found: re.Match[str]) -> str:
    """Backslashes before a quote, or at the end, twice, as Hydra reads them within quotes; and the quote."""
    return 2 * found[1] + (f"\\{found[2]}" if found[2] else "")
