"""Short forms of the simulations: how often sound data are warned of, and faults are told by their name."""

from collections import Counter

import pytest

from simulations.caught import rates
from simulations.false_alarms import alarms


@pytest.mark.slow
def test_false_alarms() -> None:
    """Of 2,400 sound calibrations, the same each time, fewer than 1 % are warned of, but some are.

    None would be as wrong: then the tests are not at the level that they are said to be at.
    """
    sizes = {"linear": (5, 10, 20), "quadratic": (5, 10, 20)}
    told: Counter[str] = Counter()
    for model, ns in sizes.items():
        for n in ns:
            told.update(alarms((model, "even", n), 400))
    assert 8 <= told["any"] < 24, told


def test_replicates_at_the_ends() -> None:
    """Ordinary replicates at the ends are hardly ever taken for saturation."""
    assert alarms(("linear", "replicates", 10), 500)["saturation"] <= 1


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("typing error, 74 as 740, one of 10", 0.95),
        ("one of 10 off by 15 sd", 0.97),
        ("thermistor as a line, 0 to 100 °C, N = 6", 0.99),
        ("two of 20 swapped", 0.85),
        ("3 of 15 at the end of the range", 0.99),
        ("3 of 15 at its noisy end", 0.97),
    ],
)
def test_caught(name: str, least: float) -> None:
    """What is wrong is told first, by its name, in nearly all of 100 sets. Source: the README's 10,000."""
    assert rates(name, 100)[0] >= least


@pytest.mark.parametrize("n", [5, 10, 50])
@pytest.mark.parametrize("step", [1, 2, 5])
def test_rounded_values(n: int, step: int) -> None:
    """Sound values that are rounded, on the readings' own grid, raise no more alarms than others."""
    assert rates(f"sound, but rounded at {step} sd, N = {n}", 200)[1] <= 0.02
