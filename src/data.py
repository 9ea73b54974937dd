"""CSV -> validated pairs of readings.

Any CSV with a header line and two columns of numbers will do; other columns are ignored. Every problem
of the file is reported at once, and nothing is guessed or dropped.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from .config import ConfigError, one_line
from .package import SHIPPED
from .settings import DataSettings

MOST_NAMED = 10  # of a file's bad cells; the rest are counted

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pairs:
    """N readings `t_u` (N,) and their true values `t_c` (N,), with a digest of the file they are from.

    `sigma` (N,) are the standard uncertainties of the true values, or what is in proportion to them; None
    where nothing is known. `lines` (N,) are the lines of the file. `held_out` are those that validate.
    """

    settings: DataSettings
    file_digest: str
    t_u: Floats
    t_c: Floats
    sigma: Floats | None
    lines: npt.NDArray[np.int64]
    held_out: Pairs | None = None

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

    Raises ConfigError that names every problem: the file missing, empty, no CSV or not UTF-8; columns
    missing; cells that are no finite number, or no uncertainty; fewer observations or distinct inputs than
    parameters. The same for the observations that are to validate.
    """
    pairs = _read_pairs(settings, settings.path, "data.path=", n_parameters, largest)
    if isinstance(settings.validation, str):
        held_out = _read_pairs(settings, settings.validation, "data.validation=", 0, largest)
        pairs = replace(pairs, held_out=held_out)
    elif settings.validation is not None:
        pairs = _split(pairs, settings.validation, settings.seed or 0)
    if problems := list(_shortages(pairs, n_parameters)):
        raise ConfigError(f"{settings.path}: " + "; ".join(problems))
    return pairs


def _read_pairs(settings: DataSettings, path: str, setting: str, n_parameters: int, largest: float) -> Pairs:
    """The pairs of the file that a setting names."""
    content = read(path, setting)
    table = parse(content, path)
    names = header(table)
    problems: list[str] = []
    columns: list[Floats] = []
    asked = {"data.input": settings.input, "data.target": settings.target}
    if isinstance(settings.sigma, str):
        asked["data.sigma"] = settings.sigma
    for key, name in asked.items():
        if names.count(name) == 1:
            cells = table.iloc[1:, names.index(name)]
            values, bad_cells = numbers(name, cells, largest)
            columns.append(values)
            problems += bad_cells or (_no_uncertainties(name, cells, values) if key == "data.sigma" else [])
        else:
            problems.append(_wrong_column(key, name, names))
    problems = first(problems)
    if (n := max(len(table) - 1, 0)) < max(n_parameters, 1):
        problems.append(_too_few(n, n_parameters))
    if problems:
        raise ConfigError(f"{path}: " + "; ".join(problems))
    t_u, t_c, *sigmas = columns
    if isinstance(settings.sigma, float):
        sigmas = [np.full(len(t_u), settings.sigma)]
        if not is_usable(sigmas[0]).all():
            raise ConfigError(f"data.sigma={settings.sigma:g} is out of the range of arithmetic")
    lines = table.index[1:].to_numpy(dtype=np.int64) + 1
    return Pairs(settings, _hash(content), t_u, t_c, sigmas[0] if sigmas else None, lines)


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


def read(path: str, setting: str) -> bytes:
    """A file's content; raises ConfigError, which calls the path by its setting, where it cannot be read.

    The data that come with the package are found from any folder.
    """
    try:
        is_shipped = not Path(path).exists() and (SHIPPED / path).is_relative_to(SHIPPED / "data")
        return (SHIPPED / path if is_shipped else Path(path)).read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"{setting}{path}: no such file under {Path.cwd()}; give the path of a CSV"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{setting}{path} cannot be read: {one_line(error)}") from error


def parse(content: bytes, path: str) -> pd.DataFrame:
    """A CSV's cells as text, the header as the first row; a row's index is its line in the file less one.

    Raises ConfigError where it is empty, no CSV or not UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text (byte {error.start}): save it as CSV with UTF-8 encoding"
        ) from error
    if "\0" in text:
        raise ConfigError(f"{path} is not a CSV: it holds binary data; export it as CSV text")
    try:
        table = pd.read_csv(
            io.StringIO(text),
            header=None,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            skipinitialspace=True,
        )
    except pd.errors.EmptyDataError:
        raise ConfigError(f"{path} is empty: a header line and rows of numbers are needed") from None
    except pd.errors.ParserError as error:
        reason = one_line(error).removeprefix("Error tokenizing data. C error: ")
        raise ConfigError(f"{path} is not a CSV: {reason}") from error
    table = table.fillna("")
    breaks = table.map(lambda cell: cell.count("\n")).sum(axis="columns")  # lines within quoted cells
    table.index = table.index + breaks.cumsum() - breaks
    is_blank = (table.map(str.strip) == "").all(axis="columns")
    return table[~is_blank]


def header(table: pd.DataFrame) -> list[str]:
    """The names of a parsed CSV's columns."""
    return [name.strip() for name in table.iloc[0]] if len(table) else []


def numbers(name: str, cells: pd.Series[str], largest: float = np.inf) -> tuple[Floats, list[str]]:
    """A column's cells (N,) as numbers, and what is wrong with them, cell by cell; then they are no use."""
    stripped = cells.map(str.strip)
    values = pd.to_numeric(stripped, errors="coerce").to_numpy(dtype=float, copy=True)
    return values, list(_bad_cells(name, stripped, values, largest))


def first(problems: list[str]) -> list[str]:
    """As many as can be read, and a count of the rest."""
    unnamed = problems[MOST_NAMED:]
    return [*problems[:MOST_NAMED], *([f"and {len(unnamed)} more"] if unnamed else [])]


def _wrong_column(key: str, name: str, names: list[str]) -> str:
    if name in names:
        return f"{key}={name}: {names.count(name)} columns have that name"
    return f"{key}={name}: no such column; the file has {', '.join(names) or 'none'}"


def _bad_cells(name: str, cells: pd.Series[str], values: Floats, largest: float) -> Iterator[str]:
    bad = cells[~(np.abs(values) <= min(largest, np.finfo(float).max))]
    for row, cell in bad.items():
        yield f"line {int(str(row)) + 1}, column {name}: {_fault(cell)}"


def _no_uncertainties(name: str, cells: pd.Series[str], values: Floats) -> list[str]:
    return [
        f"line {int(str(row)) + 1}, column {name}: {cell.strip()} is not greater than 0, as an uncertainty is"
        if not float(cell) > 0
        else f"line {int(str(row)) + 1}, column {name}: {cell.strip()} is out of the range of arithmetic"
        for row, cell in cells[~is_usable(values)].items()
    ]


def is_usable(sigma: Floats) -> npt.NDArray[np.bool_]:
    """Which uncertainties are greater than 0, their squares within the range of arithmetic."""
    with np.errstate(all="ignore"):
        return np.asarray((sigma > 0) & np.isfinite(sigma**2) & np.isfinite(sigma**-2.0))


def _fault(cell: str) -> str:
    if not cell:
        return "empty, where a number is needed"
    number = pd.to_numeric(pd.Series([cell]), errors="coerce").iloc[0]
    if np.isfinite(number):
        return f"{cell} is too large for this dtype: use dtype=float64"
    if np.isinf(number) or cell.lower().lstrip("+-") in ("nan", "na", "n/a", "null"):
        return f"{cell} is not a finite number"
    return f"{cell[:40]!r} is not a number"


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


def _too_few(n: int, n_parameters: int) -> str:
    enough = f" cannot settle {n_parameters} parameters" if n_parameters else ""
    return f"{n} observations{enough}: add rows"
