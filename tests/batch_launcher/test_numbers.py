"""A sweep's numbers are read as Hydra's grammar reads them."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from hydra_plugins.batch_launcher import many_numbers

LINES = [
    *("lr=1,2", "lr=1,2.5,-3", "lr=0,-0,-0.0", "lr=1e-3,1E5,1.5e+2,1e400", "model.start.w=0.1,0.1"),
    *("lr=007,1", "lr=5.,.5", "lr=1_000,2", "lr=+3,4", "lr=nan,1", "lr=1,inf", "lr=1,two", "lr=1, 2"),
    *("+lr=1,2", "++lr=1,2", "~lr=1,2", "db@backup=1,2", "lr=1,2,", "lr=,1", "lr=[1,2]", "lr=\u0661,2"),
    *("lr=1", "lr=choice(1,2)", "lr-max=1,2", "lr=range(1,5)"),
]


def reading(line: str) -> str:
    """The override to its last field, values with their types, or what is wrong with it."""
    try:
        [found] = OverridesParser.create().parse_overrides([line])
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    values = list(found.sweep_string_iterator()) if found.is_discrete_sweep() else []
    return repr((found, found.input_line, values))


@pytest.mark.parametrize("line", LINES)
def test_numbers_read_as_by_grammar(line: str) -> None:
    expected = reading(line)
    with many_numbers():
        assert reading(line) == expected
    assert reading(line) == expected


def test_many_numbers_skip_grammar(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the grammar is given does not grow with the numbers."""
    given: list[str] = []
    by_grammar = OverridesParser.parse_rule
    monkeypatch.setattr(
        OverridesParser,
        "parse_rule",
        lambda self, s, rule: [given.append(s), by_grammar(self, s, rule)][1],
    )
    with many_numbers():
        reading(f"lr={','.join(map(str, range(10_000)))}")
    assert max(map(len, given)) < 100
