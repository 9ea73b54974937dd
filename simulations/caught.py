"""How often what is wrong is told by its name, and how often data that are merely untidy are warned of.

python -m simulations.caught              # some two minutes on two cores
python -m simulations.caught --sets 200   # a first look
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from simulations._sets import fitted
from src.diagnostics.findings import findings
from src.diagnostics.fitted import Fitted, Floats

Random = np.random.Generator

KINDS = {  # what is told, in the table's words
    "outlier": {"outlier"},
    "curve": {"next power", "next two powers", "logarithm"},
    "logarithm": {"logarithm"},
    "swapped": {"swapped"},
    "saturation": {"saturation"},
}


def line(n: int, rng: Random) -> tuple[Floats, Floats]:
    """Ten units a step and a scatter of 1."""
    t_u = np.arange(1.0, n + 1)
    return t_u, 10 * t_u + rng.standard_normal(n)


def typing_error(rng: Random) -> Fitted:
    """One of ten values, -100 to 125 in steps of 25, with a digit too many at its end: 74 as 740."""
    t_u = np.arange(1.0, 11)
    t_c = np.round(25 * t_u - 126 + rng.standard_normal(10))
    t_c[rng.choice(np.flatnonzero(t_c))] *= 10
    return fitted("linear", t_u, t_c)


def off(sds: float) -> Callable[[Random], Fitted]:
    """One of ten values that is so many standard deviations off."""

    def make(rng: Random) -> Fitted:
        t_u, t_c = line(10, rng)
        t_c[rng.integers(10)] += sds * rng.choice([-1, 1])
        return fitted("linear", t_u, t_c)

    return make


def thermistor(n: int, most: float) -> Callable[[Random], Fitted]:
    """A common 10 kΩ thermistor's ohms at N temperatures from 0 °C on, with a scatter of 0.1 K, as a line."""

    def make(rng: Random) -> Fitted:
        t_c = np.linspace(0, most, n)
        ohms = 10_000 * np.exp(3950 * (1 / (t_c + 273.15) - 1 / 298.15))
        return fitted("linear", ohms, t_c + 0.1 * rng.standard_normal(n))

    return make


def bent(n: int, bend: float) -> Callable[[Random], Fitted]:
    """A parabola whose ends leave the best line by so many standard deviations, as a line."""

    def make(rng: Random) -> Fitted:
        t_u = np.linspace(-1, 1, n)
        return fitted("linear", t_u, 100 * t_u - 1.5 * bend * t_u**2 + rng.standard_normal(n))

    return make


def swapped(n: int) -> Callable[[Random], Fitted]:
    """Two lines of N whose values were swapped."""

    def make(rng: Random) -> Fitted:
        t_u, t_c = line(n, rng)
        two = rng.choice(n, 2, replace=False)
        t_c[two] = t_c[two[::-1]]
        return fitted("linear", t_u, t_c)

    return make


def saturated(shared: int) -> Callable[[Random], Fitted]:
    """So many of 15 values under the largest reading, that of an instrument at its end."""

    def make(rng: Random) -> Fitted:
        t_c = np.arange(0.0, 75, 5)
        t_u = np.round(20 * t_c + 2 * rng.standard_normal(15))
        return fitted("linear", np.minimum(t_u, 20 * t_c[15 - shared] - 20), t_c)

    return make


def noisy(shared: int) -> Callable[[Random], Fitted]:
    """The same, where the readings at the end have the noise of all others, 2 % of the last step."""

    def make(rng: Random) -> Fitted:
        t_c = np.arange(0.0, 75, 5)
        t_u = np.minimum(20 * t_c, 20 * t_c[15 - shared] - 50) + rng.standard_normal(15)
        return fitted("linear", t_u, t_c)

    return make


def heavy(rng: Random) -> Fitted:
    """Scatter of Student's t with 5 degrees of freedom, 20 values."""
    t_u = np.arange(1.0, 21)
    return fitted("linear", t_u, 10 * t_u + rng.standard_t(5, 20))


def rounded(n: int, step: float) -> Callable[[Random], Fitted]:
    """Sound values, N of them, rounded to a step of so many standard deviations."""

    def make(rng: Random) -> Fitted:
        t_u, t_c = line(n, rng)
        return fitted("linear", t_u, np.round(np.round(t_c * 0.1 / step) * step, 1))

    return make


CASES: dict[str, tuple[Callable[[Random], Fitted], str]] = {
    "typing error, 74 as 740, one of 10": (typing_error, "outlier"),
    **{f"one of 10 off by {sds} sd": (off(sds), "outlier") for sds in (8, 10, 12, 15)},
    **{
        f"thermistor as a line, 0 to {most} °C, N = {n}": (thermistor(n, most), "logarithm")
        for most in (50, 100)
        for n in (5, 6, 10)
    },
    **{
        f"bend of {bend} sd, N = {n}": (bent(n, bend), "curve")
        for n, bend in ((8, 4.5), (10, 4.5), (20, 2.4), (50, 1.2))
    },
    **{f"two of {n} swapped": (swapped(n), "swapped") for n in (8, 10, 20)},
    **{f"{shared} of 15 at the end of the range": (saturated(shared), "saturation") for shared in (2, 3, 5)},
    "sound, but heavy tails, N = 20": (heavy, "any"),
    **{
        f"sound, but rounded at {step / 0.1:g} sd, N = {n}": (rounded(n, step), "any")
        for n in (5, 10, 50)
        for step in (0.1, 0.2, 0.5)
    },
    **{f"{shared} of 15 at its noisy end": (noisy(shared), "saturation") for shared in (2, 3, 5)},
}


def rates(name: str, sets: int) -> tuple[float, float]:
    """Of so many sets of a case, the share in which its kind is told first, and with any warning."""
    make, kind = CASES[name]
    rng = np.random.default_rng(list(CASES).index(name))
    first = [told[0].kind if (told := findings(make(rng))) else "" for _ in range(sets)]
    right = KINDS.get(kind, set())
    return sum(each in right for each in first) / sets, sum(map(bool, first)) / sets


def main() -> None:
    """Print the rates as the table of the README."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=10_000, help="sets a row")
    sets = parser.parse_args().sets
    print("| data | told first | so told, % | any warning, % |\n| --- | --- | ---: | ---: |")
    with ProcessPoolExecutor(2) as pool:
        for name, (right, told) in zip(CASES, pool.map(rates, CASES, [sets] * len(CASES)), strict=True):
            kind = CASES[name][1]
            shown = f"{kind} | {100 * right:.1f}" if kind != "any" else " | "
            print(f"| {name} | {shown} | {100 * told:.2f} |", flush=True)


if __name__ == "__main__":
    main()
