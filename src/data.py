"""Settings -> validated pairs of readings, from whatever file they are in.

How a file is read is the room `tables`'s: here it is said which of its columns and rows are meant. Every
problem of the file is reported at once, and nothing is dropped but what the settings say.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .config import ConfigError
from .settings import DataSettings
from .tables import files, rows
from .tables.numbers import Fault, Numbers, listed
from .tables.source import Source
from .tables.summary import summaries
from .tables.table import Table, read

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pairs:
    """N readings `t_u` (N,) and their true values `t_c` (N,), with a digest of the file they are from.

    `sigma` (N,) are the standard uncertainties of the true values, or what is in proportion to them; None
    where nothing is known. `lines` (N,) are the lines of the file at `path`. `held_out` are those that
    validate. `said`: what was recognised of how the file is written, and what was left out.
    """

    settings: DataSettings
    path: str
    file_digest: str
    t_u: Floats
    t_c: Floats
    sigma: Floats | None
    lines: npt.NDArray[np.int64]
    said: tuple[str, ...] = ()
    held_out: Pairs | None = None

    @property
    def told(self) -> list[str]:
        """A line on each file: how many observations, and what was recognised of how it is written."""
        by_lot = isinstance(self.settings.validation, float) and self.held_out is not None
        also = f", {len(self.held_out.t_u):,} more held out" if by_lot and self.held_out else ""
        n = len(self.t_u)
        line = "; ".join([f"{self.path}: {n:,} observation{'s' * (n != 1)}{also}", *self.said])
        return [line, *([] if by_lot or self.held_out is None else self.held_out.told)]

    def only(self, chosen: npt.NDArray[np.bool_]) -> Pairs:
        """Some of them, in their order."""
        sigma = None if self.sigma is None else self.sigma[chosen]
        return replace(
            self, t_u=self.t_u[chosen], t_c=self.t_c[chosen], sigma=sigma, lines=self.lines[chosen]
        )

    @cached_property
    def root(self) -> Floats | None:
        """The square roots (N,) of the observations' weights `1 / sigma**2`, whose mean is 1.

        None where all have the same.
        """
        if self.sigma is None or (self.sigma == self.sigma[0]).all():
            return None
        least = self.sigma.min()  # first, so that no square leaves the range of arithmetic
        root = least / self.sigma
        return np.asarray(root / np.sqrt((root**2).mean()))

    @property
    def sigma_of_one(self) -> float | None:
        """The `sigma` of a true value of weight 1; None where nothing is known."""
        if self.sigma is None:
            return None
        least = self.sigma.min()
        return float(least / np.sqrt(((least / self.sigma) ** 2).mean()))

    @cached_property
    def digest(self) -> str:
        """Of the numbers alone, 16 hex digits: how the file writes them, and what else is in it, is nothing.

        The same readings, true values and uncertainties in the same order have the same digest.
        """
        known = [self.t_u, self.t_c, *([] if self.sigma is None else [self.sigma])]
        numbers = np.stack(known) + 0.0  # -0 is 0
        ratios = b"" if self.sigma is None or self.settings.sigma_is_absolute else b"relative"
        return _hash(numbers.astype("<f8").tobytes() + ratios)


def load(settings: DataSettings, n_parameters: int, largest: float = np.inf) -> Pairs:
    """Read and validate; `largest` is the greatest number that the training's dtype can hold.

    Raises ConfigError that names every problem: the file missing, empty, no table or one that could be
    read in two ways; columns missing; cells that are no finite number, or no uncertainty; fewer
    observations or distinct inputs than parameters. The same for the observations that are to validate.
    """
    pairs = _read_pairs(settings, settings.path, "data.path=", n_parameters, largest)
    if isinstance(settings.validation, str):
        held_out = _read_pairs(settings, settings.validation, "data.validation=", 0, largest)
        if held_out.digest == pairs.digest:
            raise ConfigError(
                f"data.validation={settings.validation} holds what is trained on: give others, or a part, 0.2"
            )
        pairs = replace(pairs, held_out=held_out)
    elif settings.validation is not None:
        pairs = _split(pairs, settings.validation, settings.seed or 0)
    if problems := list(_shortages(pairs, n_parameters)):
        raise ConfigError(f"{settings.path}: " + "; ".join(problems))
    return pairs


def _read_pairs(settings: DataSettings, path: str, setting: str, n_parameters: int, largest: float) -> Pairs:
    """The pairs of the file that a setting names."""
    content = files.read(path, setting)
    asked = {"data.input": settings.input, "data.target": settings.target}
    if isinstance(settings.sigma, str):
        asked["data.sigma"] = settings.sigma
    table = read(content, Source(path, settings, _spelled, tuple(asked.values())))
    meant, said = _meant(table, settings)
    places = {key: there[0] for key, name in asked.items() if len(there := table.places(name)) == 1}
    problems = [_wrong_column(key, name, table) for key, name in asked.items() if key not in places]
    found, recognised = meant.numbers([*places.values()])
    within = (_within(each, meant, at, largest) for each, at in zip(found, places.values(), strict=True))
    columns = dict(zip(places, within, strict=True))
    kept = np.ones(len(meant.rows), dtype=bool)
    if settings.missing == "drop":
        kept = _with_numbers(columns.values(), meant)
        said += _left_out("without a number", [meant.lines[row] for row in np.flatnonzero(~kept)])
    values = [column.values[kept] for column in columns.values()]
    readings = meant if kept.all() else meant.only(lambda row: bool(kept[row]))
    problems += listed(_bad_cells(columns, asked, meant, kept))
    problems += summaries(readings, values, [*places.values()], settings.where)
    if not settings.missing and not _with_numbers(columns.values(), meant).all():
        problems.append("data.missing=drop leaves out rows without a number")
    if (n := int(kept.sum())) < max(n_parameters, 1):
        problems.append(_too_few(n, n_parameters, said))
    if problems:
        raise ConfigError(f"{path}: " + "; ".join(problems))
    t_u, t_c, *sigmas = values
    units = {asked[key]: each.unit or table.units[places[key]] for key, each in columns.items()}
    return Pairs(
        _with_units(settings, units),
        path,
        _hash(content),
        t_u,
        t_c,
        _sigma(settings, sigmas, n),
        np.array(meant.lines, dtype=np.int64)[kept],
        tuple(filter(None, [", ".join([*table.said, *recognised]), *said, *table.doubts])),
    )


def _sigma(settings: DataSettings, columns: list[Floats], n: int) -> Floats | None:
    """The uncertainties (N,): those of the column that is asked for, or one for all; None for none."""
    if not isinstance(settings.sigma, float):
        return columns[0] if columns else None
    sigma = np.full(n, settings.sigma)
    if not is_usable(sigma).all():
        raise ConfigError(f"data.sigma={settings.sigma:g} is out of the range of arithmetic")
    return sigma


def _spelled(setting: str, value: str) -> str:
    return f"data.{setting}={value}"


def _meant(table: Table, settings: DataSettings) -> tuple[Table, list[str]]:
    """The rows that are meant, and what was left out."""
    chosen = rows.where(table, settings.where) if settings.where else table
    filled = chosen.only(lambda row: any(map(str.strip, chosen.rows[row])))
    empty = sorted({*chosen.lines} - {*filled.lines})
    count = len(table.rows) - len(chosen.rows)
    said = [f"{count:,} row{'s' * (count != 1)} left out by {settings.where}"] if settings.where else []
    return filled, said + _left_out("without a cell", empty)


def _left_out(which: str, lines: list[int]) -> list[str]:
    if not lines:
        return []
    named = ", ".join(map(str, lines[:4])) + (" …" if len(lines) > 4 else "")
    plural = "s" * (len(lines) > 1)
    return [f"{len(lines):,} row{plural} {which} left out (line{plural} {named})"]


def _within(column: Numbers, table: Table, place: int, largest: float) -> Numbers:
    """With a fault for each number that the dtype cannot hold."""
    with np.errstate(invalid="ignore"):
        large = np.flatnonzero(np.abs(column.values) > min(largest, np.finfo(float).max))
    cells = {int(row): table.rows[row][place].strip() for row in large}
    faults = {
        row: Fault("unclear", cell, "is too large for this dtype: use dtype=float64")
        for row, cell in cells.items()
    }
    return replace(column, faults=faults | column.faults)


def _with_numbers(columns: Collection[Numbers], table: Table) -> npt.NDArray[np.bool_]:
    """Which rows (N,) are not to be left out: what may be a number that is written in another way stays."""
    kept = np.ones(len(table.rows), dtype=bool)
    for row in {row for column in columns for row in column.faults}:
        kinds = [column.faults[row].kind for column in columns if row in column.faults]
        kept[row] = "unclear" in kinds
    return kept


def _bad_cells(
    columns: Mapping[str, Numbers], asked: Mapping[str, str], table: Table, kept: npt.NDArray[np.bool_]
) -> Iterator[tuple[int, str, Fault]]:
    """What is wrong with the rows that are kept, by line and column; with a row as such, by no column."""
    for row, why in table.faults.items():
        if kept[row]:
            yield table.lines[row], "", Fault("text", "", why)
    for key, column in columns.items():
        faults = column.faults
        if key == "data.sigma":
            cells = {int(row): column.values[row] for row in np.flatnonzero(~is_usable(column.values))}
            faults = {row: _no_uncertainty(value) for row, value in cells.items()} | faults
        for row in sorted(faults):
            if kept[row] and row not in table.faults:
                yield table.lines[row], asked[key].removeprefix("column:"), faults[row]


def _with_units(settings: DataSettings, units: Mapping[str, str]) -> DataSettings:
    """With the file's units, unless others are given."""
    found = {name: unit for name, unit in units.items() if unit and not settings.unit_of(name)}
    return settings.model_copy(update={"units": settings.units | found}) if found else settings


def _split(pairs: Pairs, part: float, seed: int) -> Pairs:
    """With a part of them, rounded down, held out by lot."""
    n = len(pairs.t_u)
    count = int(part * n)
    if not count:
        enough = math.ceil(1000 / n) / 1000
        raise ConfigError(f"data.validation={part:g} of {n} observations is none: give {enough:g} or more")
    chosen = np.zeros(n, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(n)[:count]] = True
    return replace(pairs.only(~chosen), held_out=pairs.only(chosen))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _wrong_column(key: str, name: str, table: Table) -> str:
    places = table.places(name)
    if places:
        several = ", ".join(str(place + 1) for place in places)
        return (
            f"{key}={name}: {len(places)} columns have that name, {several}: "
            f"tell which by its place, {key}=column:{places[0] + 1}"
        )
    is_blank = len(table.names) == 1 and name in table.names[0].split()
    hint = f": give {table.source.spelled('delimiter', 'blank')} where blanks are between cells" * is_blank
    return f"{key}={name}: no such column; the file has {', '.join(table.names) or 'none'}{hint}"


def _no_uncertainty(value: float) -> Fault:
    is_too_far = value > 0
    why = "is out of the range of arithmetic" if is_too_far else "is not greater than 0, as an uncertainty is"
    return Fault("unclear", f"{value:g}", why)


def is_usable(sigma: Floats) -> npt.NDArray[np.bool_]:
    """Which uncertainties are greater than 0, their squares within the range of arithmetic."""
    with np.errstate(all="ignore"):
        return np.asarray((sigma > 0) & np.isfinite(sigma**2) & np.isfinite(sigma**-2.0))


def _shortages(pairs: Pairs, n_parameters: int) -> Iterator[str]:
    """What the pairs are too few for."""
    settings, n = pairs.settings, len(pairs.t_u)
    distinct = [len(np.unique(column)) for column in (pairs.t_u, pairs.t_c)]
    if n < n_parameters:
        yield _too_few(n, n_parameters)
    elif distinct[0] == 1:
        yield f"column {settings.input} is constant ({pairs.t_u[0]:g}): nothing can be calibrated from it"
    elif distinct[0] < n_parameters:
        yield (
            f"column {settings.input} has {distinct[0]} distinct values, which cannot settle "
            f"{n_parameters} parameters"
        )
    elif distinct[1] == 1:
        yield f"column {settings.target} is constant ({pairs.t_c[0]:g}): there is nothing to calibrate to"


def _too_few(n: int, n_parameters: int, left_out: Sequence[str] = ()) -> str:
    enough = f" cannot settle {n_parameters} parameters" if n_parameters else ""
    without = f" ({'; '.join(left_out)})" if left_out else ""
    return f"{n} observation{'s' * (n != 1)}{enough}{without}: add rows"
