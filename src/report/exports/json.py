"""JSON: parameters with their covariance, range, units and where they are from."""

from __future__ import annotations

import json
from typing import Any, Literal

from ..calibration import Calibration


def write(calibration: Calibration) -> str:
    """One object; `parameters` are of the function `model` of `(reading - shift) * scale`.

    `covariance` has a row and a column for each of them, in their order, null where none is on record;
    `degrees_of_freedom` null where the scatter is known.
    """
    run, curve = calibration.run, calibration.curve
    known: dict[str, Any] = calibration.config["uncertainty"] or {}
    covariance = calibration.covariance
    return json.dumps(
        {
            "formula": calibration.formula,
            "input": _column(calibration, "input") | {"calibrated_range": [curve.low, curve.high]},
            "target": _column(calibration, "target"),
            "model": run.params["model"],
            "shift": calibration.about.shift,
            "scale": calibration.about.scale,
            "parameters": dict(zip(calibration.names, calibration.parameters.tolist(), strict=True)),
            "covariance": None if covariance is None else covariance.tolist(),
            "degrees_of_freedom": known.get("df"),
            "scatter": known.get("scatter"),
            "common_uncertainty": known.get("common"),
            "outcome": run.outcome,
            "run": run.run_id,
            "data_digest": run.data_digest,
        },
        indent=2,
        ensure_ascii=False,
    )


def _column(calibration: Calibration, which: Literal["input", "target"]) -> dict[str, Any]:
    profile = calibration.column(which)
    return {"name": profile["name"], "unit": profile.get("unit") or None}
