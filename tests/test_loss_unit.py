"""The unit that figures give a loss: of a difference in °C its square's, or its own, or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from src.report.comparison import Comparison
from src.report.loss_unit import loss_unit
from src.tracking import reader
from src.tracking.selection import Selection
from src.tracking.store import existing


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("loss", "unit"),
    [
        ("loss=mse", "°C²"),
        ("loss=mae", "°C"),
        ("loss=huber", ""),  # half the square below delta and straight beyond it
        ("loss=log_cosh", ""),
        ("loss=mse,mae", ""),  # of both no one unit
        ("loss.function=own.cubic", "°C³"),
        ("loss.function=own.relative", ""),
        ("loss.function=own.weighed", "°C²"),  # by a number for each reading
    ],
)
def test_unit(loss: str, unit: str, command: Callable[..., int]) -> None:
    Path("own.py").write_text(
        "def cubic(t_p, t_c): return ((t_p - t_c).abs() ** 3).mean(dim=-1)\n"
        "import torch\n"
        "def weighed(t_p, t_c): return (torch.arange(1, 12) * (t_p - t_c) ** 2).mean(dim=-1)\n"
        "def relative(t_p, t_c): return (((t_p - t_c) / t_c) ** 2).mean(dim=-1)\n"
    )
    assert command("-m", loss, "lr=1e-4", "epochs=2", "data.target_unit=°C") == 0
    store = existing("thermometer")
    assert loss_unit(Comparison(store, "", reader.runs(store, Selection()))) == unit
