"""Ctrl-C and SIGTERM, wherever the program stands."""

import signal
from contextlib import suppress

import pytest

from src.terminal import interrupts


def test_an_interrupt_that_is_lost_on_its_way_is_known() -> None:
    """In a callback of a C library it becomes that library's error; a second one changes nothing."""
    with interrupts.raising() as arrived:
        assert arrived.exit_code == 0
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert arrived.exit_code == 130
        signal.raise_signal(signal.SIGTERM)
        assert arrived.exit_code == 130


def test_what_is_deferred_ends_first() -> None:
    done = False
    raised = pytest.raises(interrupts.Interrupted, match="SIGTERM")
    with raised, interrupts.raising(), interrupts.deferred() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop()
        done = True
    assert done
