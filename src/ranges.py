"""Numbers that a person spells by a rule: `logrange(1e-4,1e-1,7)`, and `range(0.1,1,0.1)` in decimals.

Each is replaced by its values, so that every sweeper knows them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from decimal import Decimal

CALL = re.compile(r"\b(logrange|range)\s*\(([^()]*)\)")
LOGRANGE = "logrange(START,STOP,COUNT), two numbers greater than 0 and how many from one to the other"
RANGE = "range(START,STOP,STEP), with a step that leads from one to the other"


def expanded(value: str, whole: bool = False) -> str:
    """The value with the numbers in place of each rule in it; `whole`: those of a logrange as whole numbers.

    A range of whole numbers is Hydra's to expand. Raises ValueError, which says what to give.

    >>> expanded("logrange(1e-4,1e-1,7)")
    '0.0001,0.0003162,0.001,0.003162,0.01,0.03162,0.1'
    >>> expanded("shuffle(range(0.1,0.5,0.1)),1")
    'shuffle(0.1,0.2,0.3,0.4),1'
    """
    return CALL.sub(lambda call: _numbers(call, whole), value)


def _numbers(call: re.Match[str], whole: bool) -> str:
    name, arguments = call[1], [each.strip() for each in call[2].split(",")]
    if name == "range" and all(re.fullmatch(r"(\w+\s*=\s*)?[+-]?\d+", each) for each in arguments):
        return call[0]
    rule, said, names = _RULES[name]
    try:
        numbers = list(rule(**_named(arguments, names)))
    except (TypeError, ValueError, ArithmeticError, IndexError):
        numbers = []
    if not numbers:
        raise ValueError(f"give {said}")
    if whole and name == "logrange":
        numbers = [float(round(each)) for each in numbers]
    return ",".join(dict.fromkeys(repr(each).removesuffix(".0") for each in numbers))


def _named(arguments: list[str], names: tuple[str, ...]) -> dict[str, Decimal]:
    """As Hydra takes them: in their order, or by name; raises ValueError for others."""
    given: dict[str, Decimal] = {}
    for place, argument in enumerate(arguments):
        name, _, text = argument.rpartition("=")
        name = name.strip() or names[place]
        if name not in names or name in given or not (number := Decimal(text.strip())).is_finite():
            raise ValueError
        given[name] = number
    return given


def _logrange(start: Decimal, stop: Decimal, num: Decimal) -> Iterator[float]:
    """Evenly spaced on a log axis, both ends included; each right to a thousandth of a step."""
    if not (start > 0 and stop > 0 and start != stop and num == int(num) and num >= 2):
        raise ValueError
    steps = int(num) - 1
    step = (math.log10(stop) - math.log10(start)) / steps
    digits = 1 + math.ceil(-math.log10(min(abs(10**step - 1), 1) / 500))
    for place in range(steps):
        yield float(f"{float(start) * 10 ** (place * step):.{digits}g}") if place else float(start)
    yield float(stop)


def _range(start: Decimal, stop: Decimal | None = None, step: Decimal = Decimal(1)) -> Iterator[float]:
    """As Hydra's, without `stop`; in decimals, where three times 0.1 is 0.3."""
    start, stop = (Decimal(0), start) if stop is None else (start, stop)
    for place in range(math.ceil((stop - start) / step)):
        yield float(start + place * step)


_RULES: dict[str, tuple[Callable[..., Iterator[float]], str, tuple[str, ...]]] = {
    "logrange": (_logrange, LOGRANGE, ("start", "stop", "num")),
    "range": (_range, RANGE, ("start", "stop", "step")),
}
