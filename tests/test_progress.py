"""What a person sees of a sweep while it runs: one bar at the foot of the terminal, and only there."""

import re
import sys
from collections.abc import Callable

import pytest

from src import train
from tests.terminal import STYLE, left_on_screen, on_a_terminal

SWEEP = ["-m", "lr=1e-2,1e-3", "epochs=200"]
STEPS = ["composing", "checking", "loading", "preparing", "training", "measuring", "describing", "recording"]
STEPS += ["ranking", "opening", "keeping", "writing", "drawing"]
BAR = re.compile(r"━.* left")

Command = Callable[..., int]


@pytest.fixture(autouse=True)
def _folder(folder: object) -> None:
    del folder


def watched(command: Command, *args: str, **environment: str) -> str:
    """All that comes to a terminal of 80 columns."""
    codes: list[int] = []
    shown = on_a_terminal(lambda: codes.append(command(*args)), 80, environment)
    assert codes == [0]
    return STYLE.sub("", shown)


@pytest.mark.pictures
def test_one_bar_over_the_whole_sweep(command: Command) -> None:
    """The steps in their order, each with its count; how long still, once the training can tell."""
    long = "epochs=40000"  # for a bar that is drawn five times a second
    shown = watched(command, "-m", "lr=1e-2,1e-3", long)
    steps = re.findall(rf"({'|'.join(STEPS)})[\w ,]*?━", shown)
    assert list(dict.fromkeys(steps)) == [each for each in STEPS if each in steps]
    assert {"training", "drawing"} <= set(steps)
    assert re.search(r"drawing \d of \d figures ━+.* 0:00:\d\d left", shown)
    assert all(len(line) <= 80 for line in re.split(r"[\r\n]|\x1b\[\??\w+", shown) if BAR.search(line))


@pytest.mark.parametrize("launcher", ["batch", pytest.param("basic", marks=pytest.mark.slow)])
def test_nothing_of_it_stays(launcher: str, command: Command, capfd: pytest.CaptureFixture[str]) -> None:
    """The screen at the end holds what a pipe gets, in its order, and no rest of a bar."""
    left = left_on_screen(watched(command, *SWEEP, f"hydra/launcher={launcher}"))
    assert not any(BAR.search(line) for line in left)
    assert command(*SWEEP, f"hydra/launcher={launcher}") == 0
    piped, starts = capfd.readouterr(), re.compile(r"^( *\d+ |#|data |page |table |model )")
    assert [line.split()[0] for line in piped.out.splitlines()] == [
        line.split()[0] for line in left if starts.match(line)
    ]
    assert "━" not in piped.err + piped.out


def test_a_run_on_its_own_has_none(command: Command) -> None:
    assert "━" not in watched(command, "epochs=20")


def test_a_dumb_terminal_has_none(command: Command) -> None:
    shown = watched(command, *SWEEP, TERM="dumb")
    assert "━" not in shown
    assert "\x1b[2K" not in shown


def test_what_is_printed_meanwhile_stands_above(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user's model may, in several pieces."""

    def print_pieces() -> None:
        for piece in ("a line ", "in pieces", "\n"):
            sys.stdout.write(piece)

    load = train._load
    monkeypatch.setattr(train, "_load", lambda: (print_pieces(), load()))
    assert "a line in pieces" in left_on_screen(watched(command, *SWEEP))
