"""Which columns of which rows of which file are the pairs, and how good the true values are."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .choices import Group
from .kinds import (
    About,
    Column,
    Condition,
    FilePath,
    NumberOrName,
    NumberOrPath,
    Seed,
    Spread,
    Text,
    labelled,
    same_name,
    under_label,
)

# The columns of a prediction, beside those of the readings and the true values
PREDICTED = ("predicted", "uncertainty", "lower", "upper", "deviation", "in_range", "remark")


def _file(path: str) -> str:
    return PurePath(path).name


class Columns(Group):
    """Which columns of which rows of which file are the pairs."""

    path: Annotated[
        FilePath,
        About(
            "the path of a file: CSV, packed or not, Excel or Parquet",
            "data",
            _file,
            _file,
            place=7,
            problem=True,
            decides=False,
        ),
    ]
    input: Annotated[
        Column,
        About(
            "the name of a column, or its place as column:2: what the instrument showed",
            "data_input",
            labelled("data_input"),
            problem=True,
        ),
    ]
    target: Annotated[
        Column,
        About(
            "the name of a column, or its place: what was true",
            "data_target",
            labelled("data_target"),
            problem=True,
        ),
    ]
    sigma: Annotated[
        NumberOrName | None,
        under_label(
            "a number greater than 0, or the name of a column: the reference values' standard uncertainties",
            "data_sigma",
            place=7,
            problem=True,
            decides=False,  # the numbers in that column do
        ),
    ] = None
    sigma_scale: Annotated[
        Literal["absolute", "relative"] | None,
        under_label(
            "absolute, or relative where only the ratios of the uncertainties are known",
            "data_sigma_scale",
            place=7,
            problem=True,
        ),
    ] = None
    common: Annotated[
        Spread | None,
        under_label(
            "a number of at least 0: the standard uncertainty that all reference values share",
            "data_common",
            place=7,
            problem=True,
        ),
    ] = None
    validation: Annotated[
        NumberOrPath | None,
        under_label(
            "a fraction between 0 and 1 of the observations, or a CSV file's path: for a validation loss",
            "data_validation",
            place=7,
        ),
    ] = None
    seed: Annotated[
        Seed | None,
        under_label(
            "a whole number of at least 0: which observations are held out for validation",
            "data_seed",
            place=7,
        ),
    ] = None
    where: Annotated[
        Condition | None,
        under_label(
            "which rows: COLUMN > NUMBER, or with < >= <= == !=; several joined by and",
            "data_where",
            place=7,
            decides=False,  # the numbers that are left do
        ),
    ] = None
    missing: Annotated[
        Literal["drop"] | None,
        under_label("drop: rows without a number are left out", "data_missing", place=7, decides=False),
    ] = None
    # the unit of whichever column that is
    unit_of_input: Annotated[
        Text | None, Field(alias="input_unit"), About("a text: the unit of data.input", decides=False)
    ] = None
    unit_of_target: Annotated[
        Text | None, Field(alias="target_unit"), About("a text: the unit of data.target", decides=False)
    ] = None
    # by column, so that they do not outlive the choice of another
    units: Annotated[dict[str, Text], About("a unit for each column that has one", decides=False)] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _two_columns(self) -> Self:
        for name in (self.input, self.target):
            if name in PREDICTED:
                raise ValueError(f"{name} is what a prediction says of itself: rename that column")
        if same_name(self.input) == same_name(self.target):
            raise ValueError(f"data.input and data.target are both {self.input!r}: name two columns")
        if self.sigma in (self.input, self.target):
            raise ValueError(f"data.sigma={self.sigma} is a column of readings: name one of uncertainties")
        if self.sigma_scale and self.sigma is None:
            raise ValueError(f"data.sigma_scale={self.sigma_scale} is about data.sigma: give that, too")
        if isinstance(self.validation, float) and not self.validation < 1:
            raise ValueError(
                f"data.validation={self.validation:g} is not a fraction: give one between 0 and 1"
            )
        if self.seed is not None and not isinstance(self.validation, float):
            raise ValueError(
                f"data.seed={self.seed} chooses a part of the observations: give data.validation=0.2"
            )
        return self

    @property
    def sigma_is_absolute(self) -> bool:
        """Whether the uncertainties of the reference values are known, and not their ratios alone."""
        return self.sigma is not None and self.sigma_scale != "relative"

    @property
    def input_unit(self) -> str:
        """The input's unit; empty where nobody knows it."""
        return self.unit_of_input or self.unit_of(self.input)

    @property
    def target_unit(self) -> str:
        """The target's unit; empty where nobody knows it."""
        return self.unit_of_target or self.unit_of(self.target)

    def unit_of(self, column: str) -> str:
        """A column's unit; empty where nobody knows it."""
        return next((unit for name, unit in self.units.items() if same_name(name) == same_name(column)), "")
