"""Ctrl-C, SIGTERM and a terminal that closes, wherever the program stands."""

import gc
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from threading import Timer

import pytest
import requests

from hydra_plugins.batch_launcher import SIGNALS, heeding
from hydra_plugins.dask_launcher._signals import held
from src.terminal import interrupts
from src.terminal.command import run_command
from src.tracking.patience import LONGEST_S, Patience


@pytest.fixture(autouse=True)
def _little_to_collect() -> Iterator[None]:
    """Whatever else this process holds takes the collector a second."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """What is ignored once an interrupt has arrived is heard again by the next test."""
    before = {each: signal.getsignal(each) for each in SIGNALS}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


class Interrupting:
    """Garbage that gets a signal as it is collected."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_is_lost_is_raised_again() -> None:
    """In the garbage collector it is swallowed: the next that is to be written is not begun."""
    with interrupts.raising() as arrived:
        garbage = Interrupting()
        del garbage
        gc.collect()
        assert arrived.exit_code == 130
        raised = pytest.raises(interrupts.Interrupted, match="SIGINT")
        with raised, interrupts.deferred():
            raise AssertionError("begun all the same")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_fails_of_an_interrupt(capfd: pytest.CaptureFixture[str]) -> None:
    """As OmegaConf does, whose object was left half-made: the interrupt is told, and not its consequence."""

    def step() -> None:
        garbage = Interrupting()
        del garbage
        gc.collect()
        raise AttributeError("'NoneType' object has no attribute '_flags'")

    with interrupts.raising():
        assert run_command(step) == 130
    assert capfd.readouterr().err == "\nstopped by SIGINT\n"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_is_lost_is_told_in_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    def step() -> None:
        garbage = Interrupting()
        del garbage
        gc.collect()

    with interrupts.raising():
        assert run_command(step) == 130
    assert "stopped by SIGINT" in capfd.readouterr().err


def test_a_second_is_heard_until_the_first_has_arrived(capfd: pytest.CaptureFixture[str]) -> None:
    """As in a callback of a C library's, where it becomes that library's error; then no more."""

    def step() -> None:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)

    with interrupts.raising() as arrived:
        assert run_command(step) == 143
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        with interrupts.deferred() as stop:  # what is to be written in the end is written
            assert not stop()
    assert arrived.exit_code == 143
    assert "stopped by SIGTERM" in capfd.readouterr().err


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_is_deferred_ends_first(signum: int) -> None:
    done = False
    raised = pytest.raises(interrupts.Interrupted, match=signal.Signals(signum).name)
    with raised, interrupts.raising(), interrupts.deferred() as stop:
        signal.raise_signal(signum)
        assert stop()
        done = True
    assert done


def test_what_was_ignored_stays_so() -> None:
    """As SIGHUP is under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interrupts.raising() as arrived, interrupts.deferred() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert not stop()
    assert arrived.exit_code == 0


def test_nobody_waits_for_a_store_after_an_interrupt() -> None:
    """What was trained is then kept in a file."""
    patience, nowhere = Patience(), "http://127.0.0.1:1"
    patience.has_answered, begun = True, time.monotonic()
    Timer(0.2, partial(os.kill, os.getpid(), signal.SIGINT)).start()
    raised = pytest.raises(interrupts.Interrupted)
    with raised, interrupts.deferred(), pytest.raises(requests.ConnectionError):
        patience(partial(requests.get, nowhere))
    assert time.monotonic() - begun < LONGEST_S / 2


def test_nobody_waits_for_a_store_that_a_cluster_was_stopped_for() -> None:
    """The launcher has taken the signal, before what came back is put on record; or a worker is told."""
    patience, nowhere = Patience(), "http://127.0.0.1:1"
    patience.has_answered, begun = True, time.monotonic()
    raised = pytest.raises(interrupts.Interrupted)
    with raised, interrupts.raising(), held():
        signal.raise_signal(signal.SIGINT)
        with interrupts.deferred(), pytest.raises(requests.ConnectionError):
            patience(partial(requests.get, nowhere))
    with heeding(lambda: True), pytest.raises(requests.ConnectionError):
        patience(partial(requests.get, nowhere))
    assert time.monotonic() - begun < LONGEST_S / 2
    assert not interrupts.is_asked_to_stop()


def test_a_launcher_learns_what_was_taken_inside() -> None:
    """What comes back after it is put on record without waiting, too."""
    raised = pytest.raises(interrupts.Interrupted)
    with raised, interrupts.raising(), held() as stop:
        with suppress(interrupts.Interrupted), interrupts.deferred():
            signal.raise_signal(signal.SIGINT)
        assert stop()
        assert interrupts.is_asked_to_stop()


def test_nobody_waits_for_a_store_in_the_end_that_an_interrupt_made(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """There no other signal is heard; the next command ends what could not be ended."""
    patience, nowhere = Patience(), "http://127.0.0.1:1"
    with interrupts.raising():
        assert run_command(lambda: signal.raise_signal(signal.SIGINT)) == 130
        patience.has_answered, begun = True, time.monotonic()
        with interrupts.deferred(), pytest.raises(requests.ConnectionError):
            patience(partial(requests.get, nowhere))
    assert time.monotonic() - begun < LONGEST_S / 2
    assert not interrupts.is_asked_to_stop()
    assert "stopped by SIGINT" in capfd.readouterr().err
