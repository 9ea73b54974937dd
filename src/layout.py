"""How a file of readings is written, where that is said outright: what is not is recognised.

These are settings of a run (`data.decimal=comma`) and options of `predict` (`--decimal comma`).
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from .choices import Group
from .kinds import About, NotBool, Text

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "blank": " "}
DECIMALS = {"point": ".", "comma": ","}
THOUSANDS = {"comma": ",", "point": ".", "blank": " ", "apostrophe": "'"}


def _word(words: Mapping[str, str]) -> BeforeValidator:
    """A sign may stand for its word, which needs no quotes on a command line."""
    by_sign = {sign: word for word, sign in words.items()}
    return BeforeValidator(lambda value: by_sign.get(value, value) if isinstance(value, str) else value)


def _encoding(name: str) -> str:
    try:
        codecs.lookup(name)
        "".encode(name)  # one of bytes to bytes, like base64, takes no text
    except (LookupError, ValueError):
        raise ValueError(f"encoding={name} is not known: give one like cp1252, latin-1 or utf-16") from None
    return name


class Layout(Group):
    """How a file is written; None for what is to be recognised."""

    delimiter: Annotated[
        Literal["comma", "semicolon", "tab", "bar", "blank"] | None,
        _word(DELIMITERS),
        About("comma, semicolon, tab, bar or blank: between cells", "data_delimiter", decides=False),
    ] = None
    decimal: Annotated[
        Literal["point", "comma"] | None,
        _word(DECIMALS),
        About("point or comma: before a number's decimals", "data_decimal", decides=False),
    ] = None
    thousands: Annotated[
        Literal["comma", "point", "blank", "apostrophe"] | None,
        _word(THOUSANDS),
        About("comma, point, blank or apostrophe: between thousands", "data_thousands", decides=False),
    ] = None
    header: Annotated[
        Annotated[int, NotBool, Field(ge=1)] | Literal["none"] | None,
        About(
            "the number of the line with the columns' names, or none: columns are column:1, column:2 then",
            "data_header",
            decides=False,
        ),
    ] = None
    comment: Annotated[
        Text | None,
        About(
            "what a line begins with that is a comment, or none; # if not given",
            "data_comment",
            decides=False,
        ),
    ] = None
    quote: Annotated[
        Literal["none"] | None,
        About('none where " is a sign like any other', "data_quote", decides=False),
    ] = None
    encoding: Annotated[
        Annotated[str, AfterValidator(_encoding)] | None,
        About("of the file's text, like cp1252 or utf-16", "data_encoding", decides=False),
    ] = None
    sheet: Annotated[Text | None, About("the name of a workbook's sheet", "data_sheet", decides=False)] = None

    @model_validator(mode="after")
    def _one_meaning_of_a_sign(self) -> Self:
        if self.thousands and self.thousands == self.decimal:
            raise ValueError(f"decimal and thousands are both {self.decimal}: give two that differ")
        return self
