"""What a calibration answers to columns that are given: readings, true values, or both, which are checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..columns import PREDICTED
from ..config import ConfigError
from ..tables.numbers import Fault, listed
from ..tables.table import Table
from ..tracking.predictor import Predictor


def columns(given: Table, predictor: Predictor, inverse: bool) -> dict[str, int]:
    """The columns that are used, and where they are: of readings, of true values, or both, to be checked.

    Raises ConfigError unless it is clear which they are and the computed ones are free.
    """
    names = [predictor.target] if inverse else [predictor.input, predictor.target]
    if given.is_bare:
        return {names[0]: 0}
    places = {name: given.places(name) for name in names}
    known = {name: place for name, place in places.items() if place}
    if not known:
        there = ", ".join(given.names) or "none"
        raise ConfigError(f"{given.source.name}: no column {' or '.join(names)}; there is {there}")
    if several := [name for name, place in known.items() if len(place) > 1]:
        raise ConfigError(f"{given.source.name}: {len(known[several[0]])} columns are called {several[0]}")
    if taken := [column for column in given.names if column in _computed(list(known), predictor)]:
        raise ConfigError(
            f"{given.source.name}: {' and '.join(taken)} would be there twice, given and computed from "
            f"{next(iter(known))}: rename what is given, or leave it out"
        )
    return {name: place[0] for name, place in known.items()}


def _computed(names: list[str], predictor: Predictor) -> list[str]:
    """The columns of what is computed from those."""
    if len(names) == 2:
        return list(PREDICTED)
    other = predictor.input if names == [predictor.target] else predictor.target
    return [other, *(name for name in PREDICTED if name not in ("predicted", "deviation"))]


def numbers(given: Table, places: dict[str, int]) -> tuple[pd.DataFrame, list[str]]:
    """The columns (N, names), NaN where a cell says that there is nothing; and what was recognised of them.

    Raises ConfigError with every cell that is neither.
    """
    found, said = given.numbers(list(places.values()))
    problems = [(given.lines[row], "", Fault("text", "", why)) for row, why in given.faults.items()]
    for name, column in zip(places, found, strict=True):
        faults = {row: fault for row, fault in column.faults.items() if row not in given.faults}
        told = [(given.lines[row], name, fault) for row, fault in faults.items()]
        problems += [each for each in told if each[2].kind in ("text", "unclear")]
        overloads = listed(each for each in told if each[2].kind == "overload")
        said += [f"{each}, and has no answer" for each in overloads]
        column.values[list(faults)] = np.nan
    if problems:
        raise ConfigError(f"{given.source.name}: {'; '.join(listed(problems))}")
    return pd.DataFrame({name: column.values for name, column in zip(places, found, strict=True)}), said


def predictions(numbers: pd.DataFrame, predictor: Predictor, wanted: dict[str, Any]) -> pd.DataFrame:
    """What is computed for each row (N, columns) from the given columns."""
    names = [str(name) for name in numbers]
    found = predictor.predict(numbers[names[:1]], wanted)
    if len(names) == 2:
        found = found.rename(columns={predictor.target: "predicted"})
        found["deviation"] = numbers[predictor.target] - found["predicted"].astype(float)
    return found.reindex(columns=_computed(names, predictor))  # an older model gives less


def deviations(answers: pd.DataFrame, coverage: float) -> str:
    """How far what is predicted is from the given true values, in a line."""
    checked = answers[answers["deviation"].notna()].drop(columns=["in_range", "remark"]).astype(float)
    size = checked["deviation"].abs()
    reach = (checked["upper"] - checked["lower"]) / 2
    line = f"{len(checked)} row{'s' * (len(checked) != 1)} checked"
    if len(checked):
        line += f": the root mean square of the deviations is {(size**2).mean() ** 0.5:.4g}"
    if reach.notna().any():
        line += f"; {(size > reach).sum()} of {reach.notna().sum()} outside the {100 * coverage:g} % interval"
    return line


def as_csv(given: Table, places: dict[str, int], answers: pd.DataFrame) -> str:
    """All columns that are given, as they are, then the answers."""
    rows = pd.DataFrame(given.rows, columns=range(len(given.names)), dtype=object)
    joined = pd.concat([rows, answers.map(_text)], axis="columns")
    header = [*(places if given.is_bare else given.names), *answers]
    return joined.set_axis(header, axis="columns").to_csv(index=False, lineterminator="\n")


def _text(value: object) -> str:
    """Of a number the shortest text that is this number, as a served model gives it; empty for nothing."""
    if value is None or value != value:  # nan is not itself
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    return repr(float(value)).removesuffix(".0")  # type: ignore[arg-type]
