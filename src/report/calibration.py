"""A run's calibration as a report and the formats for other programs need it, from the record alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np

from ..formula import formula
from ..functions import Floats, on_arrays, raw_form
from ..normalization import UNCHANGED, Affine
from ..polynomial import fold_matrix
from ..spelling import parameters
from ..tracking import predictor, reader, standalone
from ..tracking.band import ORIGIN, TRIAL
from ..tracking.curve import Curve, derivative
from ..tracking.dataset import DatasetRecord
from ..tracking.record import TrackedRun
from ..tracking.store import Store


@dataclass(frozen=True)
class Calibration:
    """What a run has found, with K parameters.

    `config` is what its logged model knows, see `tracking.calibration_model`.
    """

    run: TrackedRun
    dataset: DatasetRecord
    config: dict[str, Any]

    @classmethod
    def of(cls, store: Store, run: TrackedRun) -> Calibration:
        """Raises ConfigError for a run that has none."""
        dataset = reader.dataset(store, run.run_id)
        return cls(run, dataset, predictor.config_of(run, dataset))

    @property
    def input(self) -> str:
        """The column of readings."""
        return str(self.config["input"])

    @property
    def target(self) -> str:
        """The column of true values."""
        return str(self.config["target"])

    def column(self, which: Literal["input", "target"]) -> dict[str, Any]:
        """Its name, its unit, empty where nobody knows it, and its least and largest value."""
        found: dict[str, Any] = json.loads(self.dataset.profile)[which]
        return found

    @property
    def units(self) -> tuple[str, str]:
        """Of readings and of true values; empty where nobody knows them."""
        return self.column("input").get("unit") or "", self.column("target").get("unit") or ""

    @cached_property
    def curve(self) -> Curve:
        """The function of readings, which predicts."""
        return Curve.of(standalone.numeric(predictor.function_of(self.run)), self.config)

    def readings(self, number: int) -> Floats:
        """So many, evenly over the calibrated range."""
        return np.linspace(self.curve.low, self.curve.high, number)

    @property
    def formula(self) -> str:
        """In terms of the columns."""
        found = self.run.readable()
        assert found is not None
        return formula(self.run.params, found, self.dataset.ranges, self.run.loss)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters'."""
        return parameters(self.run.params)

    @property
    def normalization(self) -> Affine:
        """Of the input that the function takes."""
        return Affine(self.config["shift"], self.config["scale"])

    @cached_property
    def about(self) -> Affine:
        """The input that `parameters` are of: the raw one, where a polynomial's lose no digits there."""
        is_raw = self.config["polynomial"] and all(name in self.run.metrics for name in self.names)
        return UNCHANGED if is_raw else self.normalization

    @cached_property
    def parameters(self) -> Floats:
        """(K,), about that input."""
        return self.coefficients(self.about) if self.config["polynomial"] else self.curve.params

    def coefficients(self, about: Affine) -> Floats:
        """A polynomial's (K,), of another input, the highest power first."""
        return np.asarray(fold_matrix(self.normalization.of(about), len(self.names)) @ self.curve.params)

    @cached_property
    def covariance(self) -> Floats | None:
        """Of `parameters`, (K, K); None where there is none on record."""
        known = self.config["uncertainty"]
        if known is None:
            return None
        factor = np.array(known["factor"])
        if self.config["polynomial"]:
            factor = fold_matrix(Affine(known["shift"], known["scale"]).of(self.about), len(factor)) @ factor
        return np.asarray(factor @ factor.T)

    @cached_property
    def in_formula(self) -> tuple[Floats, Floats | None, Affine]:
        """The parameters of `formula` (K,), their covariance (K, K) to first order, and of which input."""
        found = self.run.readable()
        assert found is not None
        params, about = found
        if self.config["polynomial"] or about == self.normalization:
            return self.parameters, self.covariance, self.about
        as_raw, known = raw_form(predictor.function_of(self.run)), self.config["uncertainty"]
        if as_raw is None or known is None:
            return np.array(list(params.values())), None, about

        def raw(times: Floats, column: Floats) -> Floats:
            trained = self.curve.params + times * column
            return on_arrays(as_raw)(self.config["shift"], self.config["scale"], *trained)

        columns = np.array(known["factor"]).T
        factor = np.stack([derivative(partial(raw, column=each), ORIGIN, TRIAL) for each in columns], axis=1)
        return np.array(list(params.values())), factor @ factor.T, about

    @property
    def source(self) -> str:
        """Which run of which data it is, in a line."""
        digest = f", data {self.run.data_digest}" if self.run.data_digest else ""
        return f"{self.run.name}, run {self.run.run_id}{digest}"
