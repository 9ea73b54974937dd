"""What docs/trust.md claims is so."""

import re
from pathlib import Path

import pytest

from simulations.coverage import CASES, Case, covered
from tests.test_best_fit import NIST, digits, nist_fit, unique

PAGE = (Path(__file__).parents[1] / "docs" / "trust.md").read_text()
SETS = dict(re.findall(r"^\| (\w+) \| (\d+ \| \d+) \|$", PAGE, re.MULTILINE))
RATES = re.findall(
    r"^\| (direct|inverse) \| ([\w, ]+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.MULTILINE
)


def test_all_sets_are_told() -> None:
    assert set(SETS) == set(NIST) - {"source"}


@pytest.mark.parametrize("name", SETS)
def test_digits(name: str) -> None:
    """At least as many as the page says, which is ten or more."""
    said = [int(each) for each in SETS[name].split(" | ")]
    assert min(said) >= 10
    for start in ("start1", "start2"):
        best = nist_fit(name, start)
        assert digits(best.params, NIST[name]["params"]) > said[0]
        assert digits(unique(best).diag().sqrt(), NIST[name]["standard_errors"]) > said[1]


def test_every_case_is_told() -> None:
    """With rates within what 20,000 calibrations may differ by; 95 % is what is meant."""
    told = {(kind, name, int(n)): float(rate) for kind, name, n, rate, _ in RATES}
    assert set(told) == {(case.kind, case.name, case.n) for case in CASES}
    for rate in told.values():
        assert 94.5 <= rate <= 95.5


@pytest.mark.parametrize("case", [CASES[0], CASES[6], CASES[11], CASES[13]], ids=lambda case: case.name)
def test_intervals_hold(case: Case) -> None:
    """In short: 600 calibrations, seeded; 95 % of them, give or take three standard errors of 0.9 points."""
    found = covered(case, 600)
    assert found.intervals > 590
    assert 0.923 <= found.part <= 0.977
