"""A sweep as a bare program: JAX's vmap trains, a file with a line of JSON for each run is its record.

    pip install -e '.[rival]'
    python -m benchmarks.rival RUNS EPOCHS JOURNAL

It trains what `python -m src.train -m lr=range(...)` trains, in float32 on the same readings, with as many
points of each curve, and writes as many values of each run; then it reads its record back, once, and says
which run is best.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks._measure import GREATEST_RATE
from src.fit.schedule import curve_schedule

DATA = Path("data/thermometer.csv")
# What is on record of each run of ours besides: the same for all, so that it costs no more than its writing
SETTINGS = {f"setting_{place}": "thermometer" for place in range(15)}
TAGS = {f"tag_{place}": "0123456789abcdef0123456789abcdef" for place in range(17)}
MEASURED = 15  # metrics


def train(rates: Sequence[float], epochs: Sequence[int]) -> tuple[Any, Any]:
    """Losses (R, P) at the epochs, each before its update, and the final parameters (R, 2)."""
    import jax
    import jax.numpy as jnp

    rows = list(csv.DictReader(line for line in DATA.read_text().splitlines() if not line.startswith("#")))
    t_u, t_c = (jnp.array([float(row[key]) for row in rows], jnp.float32) for key in ("t_u", "t_c"))
    t_un, lr = 0.1 * t_u, jnp.array(rates, jnp.float32)

    def loss(params: Any) -> Any:
        return jnp.mean((params[0] * t_un + params[1] - t_c) ** 2)

    step = jax.vmap(lambda params, lr: params - lr * jax.grad(loss)(params))

    def several(params: Any, count: Any) -> tuple[Any, Any]:
        before = jax.lax.fori_loop(0, count - 1, lambda _, each: step(each, lr), params)
        return step(before, lr), jax.vmap(loss)(before)

    advance = jax.jit(several)
    params, losses = jnp.tile(jnp.array([1.0, 0.0], jnp.float32), (len(rates), 1)), []
    for last, epoch in zip((0, *epochs), epochs, strict=False):
        params, reached = advance(params, epoch - last)
        losses.append(reached)
    return jnp.stack(losses, axis=1), params


def write(journal: Path, runs: Iterable[dict[str, Any]]) -> None:
    """All of them, and on the disk."""
    with journal.open("w") as file:
        for run in runs:
            file.write(json.dumps(run) + "\n")
        file.flush()
        os.fsync(file.fileno())


def main(runs: int, last: int, journal: Path) -> None:
    """Train, write, read, tell."""
    rates, epochs = [GREATEST_RATE * (place + 1) / runs for place in range(runs)], curve_schedule(last)
    losses, params = train(rates, epochs)
    rows = zip(rates, losses.tolist(), params.tolist(), strict=True)
    write(
        journal,
        (
            {"run": place, "lr": lr, "epochs": epochs, "losses": curve, "settings": SETTINGS, "tags": TAGS}
            | {"metrics": {f"metric_{each}": found[each % 2] for each in range(MEASURED)}, "trained": found}
            for place, (lr, curve, found) in enumerate(rows)
        ),
    )
    with journal.open() as file:
        best = min(map(json.loads, file), key=lambda run: run["losses"][-1])
    print(f"{runs} runs, the best: lr={best['lr']:g}, loss {best['losses'][-1]:.6g}, {best['trained']}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
