"""Runs on different data train together, each to the bit as alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from src.data import load
from src.fit import training
from src.fit.plan import Preparation, Run
from src.fit.training import calibrate
from src.settings import Settings

# lengths of the sensors' files, of which two are alike
LENGTHS = {"a": 12, "b": 12, "c": 9}


@pytest.fixture
def sensors(tmp_path: Path) -> list[Path]:
    noise = np.random.default_rng(0)
    paths = []
    for name, length in LENGTHS.items():
        readings = np.sort(noise.uniform(20, 90, length))
        frame = pd.DataFrame({"t_u": readings, "t_c": 0.5 * readings - 17 + noise.normal(0, 1, length)})
        frame.to_csv(paths.append(tmp_path / f"{name}.csv") or paths[-1], index=False)
    return paths


def prepared(paths: Sequence[Path], **more: Any) -> list[Run]:
    """Two rates and two normalizations on each."""
    preparation = Preparation(load)
    common = {"epochs": 300, "dtype": "float32", "device": "cpu", "tracking": {"experiment": "sensors"}}
    model = {"model": {"name": "linear", "start": {"w": 1, "b": 0}}}
    return [
        preparation.prepare(
            Settings.model_validate(
                common
                | model
                | {"lr": lr, "normalization": {"name": how}}
                | {"data": {"path": str(path), "input": "t_u", "target": "t_c"}}
                | more
            )
        )
        for path in paths
        for how in ("zscore", "minmax")
        for lr in (1e-2, 1.5)  # of which the second diverges
    ]


def test_sensors_of_one_length_share_a_call(sensors: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    loop = training.training_loop

    def spy(**given: Any) -> Any:
        sizes.append(len(given["params"]))
        return loop(**given)

    monkeypatch.setattr(training, "training_loop", spy)
    calibrate(prepared(sensors))
    assert sizes[0] == 8, "of two files"
    assert sizes[2] == 4, "each followed by those that diverged"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_is_as_alone(sensors: list[Path], dtype: str) -> None:
    """To the bit, whatever the company."""
    runs = prepared(sensors, dtype=dtype)
    for run, together in zip(runs, calibrate(runs), strict=True):
        [alone] = calibrate([run])
        assert together == alone


def test_models_do_not_share(sensors: list[Path]) -> None:
    """Each has its own parameters: a parabola beside a line."""
    bent = {"name": "quadratic", "start": {"w2": 1, "w1": 1, "b": 0}}
    runs = [*prepared(sensors[:1]), *prepared(sensors[:1], model=bent)]
    assert [len(each.trained) for each in calibrate(runs) if each.trained] == [2, 2, 3, 3]
