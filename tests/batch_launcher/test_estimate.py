"""How long a work still takes: numbers that can be told by hand, on a clock that the test turns."""

import pytest

from hydra_plugins.batch_launcher._estimate import Estimate


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nobody_knows_until_the_step_itself_can_tell(clock: Clock) -> None:
    """Half of it in 10 s: 10 s more, and the 5 s that are expected of the next step."""
    work = Estimate(100, {"train": None, "record": 5.0}, clock)
    work.begin("train", 1000, jobs=100)
    assert work.left_s is None
    assert work.share is None
    clock.now = 10.0
    work.tell(500)
    assert work.left_s == 15.0
    assert work.share == 10 / 25
    clock.now = 12.0
    assert work.left_s == 13.0, "the clock goes on between two counts"


def test_a_batch_tells_of_the_next(clock: Clock) -> None:
    """A quarter of the jobs took 2 s and 4 s: all of them 8 s and 16 s, whatever was expected."""
    work = Estimate(100, {"compose": 1.0, "train": None}, clock)
    for step, seconds in (("compose", 2.0), ("train", 4.0)):
        work.begin(step, 25, jobs=25)
        clock.now += seconds
        work.end()
    assert work.left_s == 6.0 + 12.0


def test_what_passes_between_steps_counts(clock: Clock) -> None:
    """As where another launcher composes its jobs one by one: 3 s a job, 1 s of it in the step."""
    work = Estimate(4, {"train": None}, clock)
    for _ in range(2):
        clock.now += 2.0
        work.begin("train", 0, jobs=1)
        clock.now += 1.0
        work.end()
    assert work.left_s == 6.0


def test_in_the_last_step_all_others_are_done(clock: Clock) -> None:
    """Jobs that were refused have not been trained, and will not be."""
    work = Estimate(10, {"train": None, "draw": 8.0}, clock)
    work.begin("draw", 0, jobs=None)
    clock.now = 3.0
    assert work.left_s == 5.0
    clock.now = 30.0
    assert work.left_s == 0.0


def test_the_share_never_falls(clock: Clock) -> None:
    """The step turns out to take a hundred times as long as was expected."""
    work = Estimate(1, {"record": 1.0}, clock)
    work.begin("record", 100, jobs=1)
    clock.now = 0.9
    assert work.share == pytest.approx(0.9)
    work.tell(1)
    assert work.left_s == pytest.approx(89.1)
    assert work.share == pytest.approx(0.9)


def test_without_a_total_nobody_knows(clock: Clock) -> None:
    work = Estimate(None, {"train": 1.0}, clock)
    work.begin("train", 10, jobs=10)
    assert work.left_s is None
