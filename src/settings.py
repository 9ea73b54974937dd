"""The settings of a run: the one list from which all that is said of a setting follows.

Its check, help and default, its param on record and its column, its place in a run's name, in advice and
in the fingerprint. A new setting is a field here and a line in conf/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import Field, StrictBool
from pydantic.fields import FieldInfo

from .choices import Group, LossSettings, ModelSettings, NormalizationSettings
from .columns import Columns
from .functions import taken
from .kinds import (
    About,
    Count,
    ModelName,
    Name,
    Points,
    Positive,
    Rate,
    Reads,
    Text,
    allowed,
    labelled,
    plain_types,
    under_label,
)
from .layout import Layout
from .losses import LOSSES
from .models import MODELS
from .normalization import NORMALIZATIONS

FILLED_IN = ("origin",)  # no settings of the user's


def _number(template: str) -> Callable[[str], str]:
    return lambda text: template.format(float(text))


def _epochs(text: str) -> str:
    return f"{int(text):,} epoch{'' if text == '1' else 's'}"


class DataSettings(Layout, Columns):
    """The pairs: which they are, and how their file is written."""

    def __hash__(self) -> int:  # a dict has none
        return hash((self.path, self.input, self.target, self.sigma, self.validation, self.seed))


class TrackingSettings(Group):
    """Where in the tracking store the runs go."""

    experiment: Annotated[
        Name, About("the name of an MLflow experiment", decides=False, what="where the runs are filed")
    ]
    points: Annotated[
        Points,
        About(
            "a whole number from 1 to 1000",
            decides=False,
            what="points of a loss curve in each tenfold of epochs",
        ),
    ] = 12
    written_by: Annotated[
        Literal["auto", "client", "worker"],
        About(
            "auto, client or worker",
            decides=False,
            what="who puts on record what a cluster trains (auto: the client into a file, workers elsewhere)",
        ),
    ] = "auto"


def _said(label: str, what: str) -> Any:
    return Annotated[Text | None, About("a text", decides=False, what=what), label]


class AboutSettings(Group):
    """What a person may say of a calibration, for its report; each with the label that it has there."""

    instrument: _said("Instrument", "what was calibrated") = None  # type: ignore[valid-type]
    serial: _said("Serial number", "the instrument's serial number") = None  # type: ignore[valid-type]
    reference: _said("Reference", "what the reference values are from") = None  # type: ignore[valid-type]
    operator: _said("Operator", "who took the readings") = None  # type: ignore[valid-type]
    conditions: _said("Conditions", "under which conditions, as the room's temperature") = None  # type: ignore[valid-type]
    procedure: _said("Procedure", "by which procedure") = None  # type: ignore[valid-type]
    date: _said("Date of the readings", "when the readings were taken") = None  # type: ignore[valid-type]

    @classmethod
    def labels(cls) -> dict[str, str]:
        """By the name of the setting."""
        return {name: field.metadata[-1] for name, field in cls.model_fields.items()}


class Origin(Group):
    """The sweep that a run belongs to, the folder that its jobs share, and the run's number in it.

    Filled in by the command and by Hydra; all None for a run on its own.
    """

    sweep: Annotated[str | None, About("nothing: the command fills it in", decides=False)] = None
    folder: Annotated[str | None, About("nothing: the command fills it in", decides=False)] = None
    job: Annotated[int | None, About("nothing: Hydra fills it in", decides=False)] = None

    @property
    def lock(self) -> Path:
        """What whoever records the sweep's first run locks: it is there once something is on record."""
        return Path(self.folder or "") / "parent.lock"

    @property
    def kept(self) -> Path:
        """There where some runs could not be put on record."""
        return Path(self.folder or "") / "kept"

    @property
    def begun(self) -> Path:
        """What is known of the sweep as it begins."""
        return Path(self.folder or "") / "begun.json"


class Settings(Group):
    """One run."""

    lr: Annotated[
        Rate,
        About(
            "a finite number greater than 0, like 1e-2, or auto",
            "lr",
            labelled("lr"),
            _number("lr={:g}"),
            place=1,
            always=True,
            what="the learning rate (auto: the fastest that is stable from the start to the best fit)",
        ),
    ]
    epochs: Annotated[
        Count,
        About(
            "a whole number from 1 to 10**12, like 5000",
            "epochs",
            _epochs,
            str,
            place=4,
            always=True,
            what="passes over the data",
        ),
    ]
    normalization: NormalizationSettings
    model: ModelSettings
    loss: LossSettings = LossSettings(name="mse")
    data: DataSettings
    scaling: Annotated[
        Literal["none", "start", "jacobian"],
        under_label(
            "none, start or jacobian",
            "scaling",
            place=8,
            what="of the parameters, by their size or their effect at the start",
        ),
    ] = "none"
    dtype: Annotated[
        Literal["float32", "float64"],
        under_label("float32 or float64", "dtype", place=9, what="of the training"),
    ]
    device: Annotated[
        str,
        Field(pattern=r"^(cpu|cuda(:\d+)?)$"),
        under_label("cpu, cuda or one card as in cuda:0", "device", place=10, what="where it trains"),
    ]
    tolerance: Annotated[
        Positive | None,
        About(
            "a finite number greater than 0, like 0.5",
            "tolerance",
            labelled("tolerance"),
            decides=False,
            what="the largest permitted error, in the target's unit",
        ),
    ] = None
    about: AboutSettings = AboutSettings()
    tracking: TrackingSettings
    # `register` itself is a method that pydantic's models inherit
    register_as: Annotated[
        ModelName | None,
        Field(alias="register"),
        About("a name for the best run's model, without / : @, nor .. in front", decides=False),
    ] = None
    resume: Annotated[
        bool | Name | None,
        About(
            "true, latest or the name of a sweep that ended early",
            decides=False,
            what="goes on with a sweep, true with the latest that has these settings",
        ),
    ] = None
    repeat: Annotated[
        Name | None,
        About(
            "best, a run's id or a model's address",
            decides=False,
            what="trains a run again, from its record alone, and tells whether it is the same",
        ),
    ] = None
    dry: Annotated[
        StrictBool,
        About("true or false", decides=False, what="a forecast alone, nothing trained nor recorded"),
    ] = False
    origin: Origin = Origin()

    def in_sweep(self, origin: Origin, job: int) -> Settings:
        """The same, as a job of a sweep."""
        return self.model_copy(update={"origin": origin.model_copy(update={"job": job})})


@dataclass(frozen=True)
class Setting:
    """One setting of a run: `key` is the command line's name for it, `path` where its value stands."""

    key: str
    path: tuple[str, ...]
    about: About

    @property
    def group(self) -> str:
        """The config group that it is in; empty for none."""
        return self.path[0] if len(self.path) > 1 else ""

    def value(self, settings: Settings) -> Any:
        """What a run's settings give it."""
        value: Any = settings
        for part in self.path:
            value = value[part] if isinstance(value, dict) else getattr(value, part)
        return value


@cache
def settings_with(
    normalization: str, loss: str, model: str, gone: tuple[str, ...] = ()
) -> tuple[Setting, ...]:
    """Every setting of a run with these functions, in the order of the record.

    `gone`: the parameters of a model of the user's that cannot be imported any more.
    """
    found = []
    for setting in _leaves(Settings, ()):
        if setting.path == ("model", "start"):
            names = taken(model, MODELS) or dict.fromkeys(gone)
            found += [_start(name) for name in names]
        else:
            found.append(setting)
        if setting.path == ("normalization", "name"):
            found += [
                _option("normalization", *each) for each in taken(normalization, NORMALIZATIONS).items()
            ]
        if setting.path == ("loss", "name"):
            found += [_option("loss", *each) for each in taken(loss, LOSSES, 2).items()]
    return tuple(found)


def _leaves(group: type[Group], path: tuple[str, ...]) -> Iterator[Setting]:
    for name, field in group.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Group):
            yield from _leaves(inner, (*path, name))
        else:
            # a function is chosen by its group's name alone: model=linear
            key = (*path, field.alias or name) if name != "name" else path
            yield Setting(".".join(key), (*path, name), about(field))


def types_of(key: str) -> set[Any]:
    """What the setting of a key may be, as in `{str, NoneType}`; nothing for what is no setting.

    Of a function's options nothing either: they are numbers.
    """
    kind: Any = Settings
    for part in key.split("."):
        if get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            fields = {field.alias or name: field for name, field in getattr(kind, "model_fields", {}).items()}
            if part not in fields:
                return set()
            kind = fields[part].annotation
    return plain_types(kind)


def about(field: FieldInfo) -> About:
    """What is said of a setting beside its type."""
    return next(each for each in field.metadata if isinstance(each, About))


def _start(name: str) -> Setting:
    reads = _number(f"start {name}={{:g}}")
    path = ("model", "start", name)
    return Setting(
        ".".join(path),
        path,
        About("a finite number", f"start_{name}", reads, reads, place=11, what="where training starts"),
    )


def _option(group: str, name: str, kind: Any) -> Setting:
    templates = [each.template for each in kind.__metadata__ if isinstance(each, Reads)]
    reads = _number(templates[0] if templates else name + "={:g}")
    path = (group, name)
    place, is_problem = (3, False) if group == "normalization" else (6, True)
    said = About(allowed(kind), "_".join(path), reads, reads, place=place, problem=is_problem)
    return Setting(".".join(path), path, said)
