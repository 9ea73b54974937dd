"""A model as an expression of C: called with these in place of numbers, a function writes itself down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Expression:
    """Text of C that stands for a float, in parentheses where it needs them."""

    text: str

    def __add__(self, other: Any) -> Expression:
        return _joined(self, "+", other)

    def __radd__(self, other: Any) -> Expression:
        return _joined(other, "+", self)

    def __sub__(self, other: Any) -> Expression:
        return _joined(self, "-", other)

    def __rsub__(self, other: Any) -> Expression:
        return _joined(other, "-", self)

    def __mul__(self, other: Any) -> Expression:
        return _joined(self, "*", other)

    def __rmul__(self, other: Any) -> Expression:
        return _joined(other, "*", self)

    def __truediv__(self, other: Any) -> Expression:
        return _joined(self, "/", other)

    def __rtruediv__(self, other: Any) -> Expression:
        return _joined(other, "/", self)

    def __pow__(self, other: Any) -> Expression:
        return Expression(f"powf({self.text}, {literal(other)})")

    def __rpow__(self, other: Any) -> Expression:
        return Expression(f"powf({literal(other)}, {self.text})")

    def __neg__(self) -> Expression:
        return Expression(f"(-{self.text})")

    def exp(self) -> Expression:
        """`elementary.exp` asks for it, and so for the others."""
        return Expression(f"expf({self.text})")

    def log(self) -> Expression:
        """The natural logarithm."""
        return Expression(f"logf({self.text})")

    def sqrt(self) -> Expression:
        """The square root."""
        return Expression(f"sqrtf({self.text})")


def _joined(left: Any, sign: str, right: Any) -> Expression:
    return Expression(f"({literal(left)} {sign} {literal(right)})")


def literal(value: Any) -> str:
    """A number as a float of C, with as many digits as tell it from its neighbours; an expression as it is.

    >>> literal(1), literal(-0.1), literal(1e-30)
    ('1.0f', '-0.1f', '1e-30f')
    """
    if isinstance(value, Expression):
        return value.text
    text = str(np.float32(value))
    return f"{text}f"
