"""What a sweep takes at the very least: its training in one fused call, its rows by the database alone.

    python -m benchmarks._floor EPOCHS SWEPT.db FRESH.db     # prints {"train": seconds, "record": seconds}

`SWEPT.db` is the store after the sweep, `FRESH.db` the same store without its runs: it gets them.
The learning rates, the pairs and the rows are read before a clock starts.
"""

from __future__ import annotations

import gc
import json
import sqlite3
import sys
import time
from contextlib import closing

import torch

from benchmarks import TABLES
from src.data import load
from src.fit.schedule import curve_schedule
from src.loop import LossCurves, training_loop
from src.settings import DataSettings

DATA = DataSettings(
    path="data/thermometer.csv", input="t_u", target="t_c"
)  # as in conf/data/thermometer.yaml
FACTOR = 0.1  # as in conf/normalization/scale.yaml


def train_seconds(rates: list[float], epochs: int) -> float:
    """All runs in one call of the loop, with the curves that the sweep records."""
    pairs = load(DATA, 2)
    t_u, t_c = torch.from_numpy(pairs.t_u).float(), torch.from_numpy(pairs.t_c).float()

    def train(last: int) -> torch.Tensor:
        params = torch.tensor([1.0, 0.0]).repeat(len(rates), 1)
        curves = LossCurves([curve_schedule(last)] * len(rates))
        lr = torch.tensor(rates, dtype=torch.float64)
        return training_loop(last, lr, params, FACTOR * t_u, t_c, curves=curves)

    train(1)  # the first backward starts autograd's own machinery
    gc.freeze()  # as the batch launcher does: looking through all that torch brings along takes 0.1 s
    start = time.perf_counter()
    trained = train(epochs)
    seconds = time.perf_counter() - start
    assert trained.isfinite().all(), "a run diverged and left the work early: the floor would be too low"
    return seconds


def record_seconds(rows: dict[str, list[tuple[object, ...]]], fresh: str) -> float:
    """Every row of every table in one transaction, with MLflow's keys and indexes in place."""
    with closing(sqlite3.connect(fresh)) as database:
        start = time.perf_counter()
        for table, content in rows.items():
            if content:
                marks = ", ".join("?" * len(content[0]))
                database.executemany(f"INSERT INTO {table} VALUES ({marks})", content)
        database.commit()
        return time.perf_counter() - start


def main(epochs: int, swept: str, fresh: str) -> None:
    """Print both as JSON."""
    with closing(sqlite3.connect(swept)) as database:
        rates = [float(value) for (value,) in database.execute("SELECT value FROM params WHERE key = 'lr'")]
        rows = {table: database.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}
    print(json.dumps({"train": train_seconds(rates, epochs), "record": record_seconds(rows, fresh)}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
