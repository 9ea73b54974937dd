"""What a run leaves behind: rows and bytes in sqlite and in PostgreSQL, by how finely its curve is recorded.

    python -m benchmarks.scale                      # some minutes
    python -m benchmarks.scale --runs 500 --points 1

Sweeps of the default model over the learning rate, each into a fresh store. A store is measured with its
indexes, after its own tidying up, less what it holds with a single run in it. docs/scale.md builds on these
figures.
"""

from __future__ import annotations

import argparse
import io
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import LiteralString

from benchmarks import TABLES
from benchmarks._measure import ROOT, say
from benchmarks.stores import opened

Size = Callable[[], dict[str, int]]  # bytes by table, indexes included


def main() -> None:
    """Measure and print a table."""
    options = parser().parse_args()
    print("| store | tracking.points | rows a run | bytes a run | of which metrics | server's CPU ms a run |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        for points in options.points:
            for kind in ("sqlite", "postgresql"):
                folder = Path(name) / f"{kind}-{points}"
                (folder / "store").mkdir(parents=True)
                (folder / "data").symlink_to(ROOT / "data")
                say(f"{options.runs} runs of {points} points into {kind}")
                measure = in_sqlite if kind == "sqlite" else in_postgresql
                print(measure(folder, options.runs, points), flush=True)


def in_sqlite(folder: Path, runs: int, points: int) -> str:
    """A line of the table, and one for the same curves in a Parquet file."""
    database = folder / "store" / "mlflow.db"

    def size() -> dict[str, int]:
        with closing(sqlite3.connect(database)) as store:
            store.execute("VACUUM")
            found = store.execute(
                "SELECT m.tbl_name, sum(d.pgsize) FROM dbstat d JOIN sqlite_master m ON m.name = d.name "
                "GROUP BY m.tbl_name"
            )
            return dict(found.fetchall())

    def rows() -> int:
        with closing(sqlite3.connect(database)) as store:
            return sum(int(store.execute(f"SELECT count(*) FROM {each}").fetchone()[0]) for each in TABLES)

    line = grown("sqlite", f"sqlite:///{database}", folder, runs, points, size, rows)
    each = f"{in_parquet(database) / runs:,.0f}"
    return f"{line} |\n| a Parquet file of the curves alone | {points} | 1 | {each} | {each} | |"


def in_postgresql(folder: Path, runs: int, points: int) -> str:
    """A line of the table."""
    import psutil
    import psycopg

    with (
        opened("postgresql", folder / "store") as uri,
        psycopg.connect(uri.replace("+psycopg", ""), autocommit=True) as store,
    ):

        def one(query: LiteralString) -> int:
            return int(store.execute(query).fetchall()[0][0])

        def size() -> dict[str, int]:
            store.execute("VACUUM")
            return {each: one(f"SELECT pg_total_relation_size('{each}')") for each in TABLES}

        def rows() -> int:
            return sum(one(f"SELECT count(*) FROM {each}") for each in TABLES)

        server = psutil.Process(store.info.backend_pid).parent()
        assert server is not None
        before = server.cpu_times()
        line = grown("PostgreSQL", uri, folder, runs, points, size, rows)
        after = server.cpu_times()  # those of its processes that have ended, of each client's connection one
        children = after.children_user - before.children_user + after.children_system - before.children_system
        return f"{line} {1000 * children / (runs + 1):.2f} |"


def grown(
    name: str, uri: str, folder: Path, runs: int, points: int, size: Size, rows: Callable[[], int]
) -> str:
    """What so many runs add to a store that has one already."""
    train(uri, folder, 1, points)
    before, rows_before = size(), rows()
    train(uri, folder, runs, points)
    each = {table: (after - before.get(table, 0)) / runs for table, after in size().items()}
    count = (rows() - rows_before) / runs
    return f"| {name} | {points} | {count:.0f} | {sum(each.values()):,.0f} | {each['metrics']:,.0f} |"


def train(uri: str, folder: Path, runs: int, points: int) -> None:
    """A sweep over so many rates, into this store."""
    rates = ",".join(f"{1e-4 + 3e-2 * place / runs:.6g}" for place in range(runs))
    command = [sys.executable, "-m", "src.train", "-m", f"lr={rates}", "epochs=5000"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": uri}
    command += [f"tracking.points={points}"]
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    say(f"{runs} runs in {time.perf_counter() - start:.1f} s")


def in_parquet(database: Path) -> int:
    """The bytes of one Parquet file with a row a run: its id, its epochs and its losses."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    curves: dict[str, list[list[float]]] = {}
    with closing(sqlite3.connect(database)) as store:
        query = "SELECT run_uuid, step, value FROM metrics WHERE key = 'loss' ORDER BY run_uuid, step"
        for run_id, *point in store.execute(query):
            curves.setdefault(run_id, []).append(point)
    file = io.BytesIO()
    epochs, losses = ([[point[part] for point in curve] for curve in curves.values()] for part in (0, 1))
    pq.write_table(pa.table({"run": list(curves), "epoch": epochs, "loss": losses}), file, compression="zstd")
    return file.getbuffer().nbytes


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=(__doc__ or "").split("\n")[0]
    )
    made.add_argument("--runs", type=int, default=2000, help="of each sweep")
    made.add_argument(
        "--points", type=int, nargs="+", default=[12, 1], help="tracking.points: in each tenfold of epochs"
    )
    return made


if __name__ == "__main__":
    main()
