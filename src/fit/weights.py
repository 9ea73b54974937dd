"""How much each observation counts: by the uncertainty of its reference value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from ..data import Pairs
from ..models import Model


@dataclass(frozen=True)
class Weights:
    """Of N observations: `root` (N,) the square roots of the weights, whose mean is 1; None where all are 1.

    `sigma` is the standard uncertainty of a reference value of weight 1: `is_known`, or in proportion to it;
    None where nothing is said of it.
    """

    root: Tensor | None = None
    sigma: float | None = None
    is_known: bool = False

    @classmethod
    def of(cls, pairs: Pairs) -> Weights:
        """By the uncertainties that come with the pairs."""
        root = None if pairs.root is None else torch.from_numpy(pairs.root)
        return cls(root, pairs.sigma_of_one, pairs.settings.sigma_is_absolute)

    def only(self, chosen: Tensor) -> Weights:
        """Those of some of the observations."""
        return self if self.root is None else replace(self, root=self.root[chosen])

    def weigh(self, values: Tensor) -> Tensor:
        """Predictions, targets or their differences (..., N), each as much as it counts."""
        return values if self.root is None else self.root * values

    def weighed(self, model: Model) -> Model:
        """The model of readings (N,) whose predictions are weighed."""
        if self.root is None:
            return model

        @wraps(model)
        def predict(t_u: Tensor, *params: Any) -> Tensor:
            return self.weigh(model(t_u, *params))

        return predict


EQUAL = Weights()
