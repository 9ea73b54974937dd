"""A sweep beside thousands of others' runs is found, and read, as quickly as beside none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event

from src.settings import Origin
from src.tracking import bulk, reader, sweep
from src.tracking.record import job_id
from src.tracking.selection import Selection
from src.tracking.store import Store
from tests.test_writers import PLAIN, stores

__all__ = ["stores"]  # the fixture

OTHERS = 3000


@contextmanager
def steps_counted(store: Store) -> Iterator[Callable[[], int]]:
    """How many hundreds of steps sqlite takes meanwhile: unlike a clock's, they are the same each time."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 1

    def watch(connection: Any, *_: object) -> None:
        connection.set_progress_handler(step, 100)

    engine = store.backend.engine
    event.listen(engine, "checkout", watch)
    try:
        yield lambda: count
    finally:
        event.remove(engine, "checkout", watch)


def runs_of(name: str, count: int) -> list[Any]:
    tags = {**PLAIN.tags, "sweep": name}
    return [replace(PLAIN, run_id=job_id(name, job), tags=tags) for job in range(count)]


@pytest.fixture
def crowded(stores: Callable[[str], Store]) -> tuple[Store, Store]:
    """A sweep of 12 runs with its parent, in a store of its own and in one beside thousands of another's."""
    found = []
    for name in ("alone", "beside"):
        store = stores(name)
        store.client.create_run(
            store.experiment_id, tags={"sweep": "sweep-a", sweep.LIKE: "x"}, run_name="sweep-a"
        )
        if name == "beside":
            list(bulk.BulkWriter(store).write(runs_of("sweep-b", OTHERS)))
        list(bulk.BulkWriter(store).write(runs_of("sweep-a", 12)))
        found.append(store)
    return found[0], found[1]


def test_a_parent_is_found_among_parents(
    crowded: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    for store in crowded:
        monkeypatch.setattr(sweep, "existing", lambda store=store: store)
        with steps_counted(store) as steps:
            assert len(list(sweep.parents(Origin(sweep="sweep-a")))) == 1
            taken.append(steps())
    assert taken[1] < taken[0] + 5


def test_reading_a_sweep_looks_once_at_the_others(crowded: tuple[Store, Store]) -> None:
    """Once at each one's tag: MLflow's tables have no index on its value. Some ten steps are one look."""
    taken = []
    for store in crowded:
        with steps_counted(store) as steps:
            assert len(reader.runs(store, Selection(sweep="sweep-a"))) == 12
            taken.append(steps())
    assert taken[1] < taken[0] + 15 * OTHERS / 100


def test_reading_in_parts_takes_what_it_takes_at_once(
    crowded: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No part looks at the runs of the others: time for a run stays level, however many there are."""
    _, store = crowded
    taken = []
    for size in (OTHERS, OTHERS // 30):
        monkeypatch.setattr(bulk, "IDS_A_QUERY", size)
        with steps_counted(store) as steps:
            assert len(reader.runs(store, Selection(sweep="sweep-b"))) == OTHERS
            taken.append(steps())
    assert taken[1] < 1.1 * taken[0]
