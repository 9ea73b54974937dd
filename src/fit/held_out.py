"""The observations that are held out of the training, and the loss on them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..data import Pairs
from ..models import Model
from ..normalization import Affine
from .yardstick import Yardstick, predict


@dataclass(frozen=True)
class HeldOut:
    """Readings and true values (M,), float64, with the square roots of their weights as in the training."""

    t_u: Tensor
    t_c: Tensor
    root: Tensor | None

    @classmethod
    def of(cls, pairs: Pairs) -> HeldOut | None:
        """Those that stand beside the pairs; None where there are none."""
        if (held_out := pairs.held_out) is None:
            return None
        root = None
        if held_out.sigma is not None and pairs.sigma_of_one is not None:
            root = torch.from_numpy(pairs.sigma_of_one / held_out.sigma)
        return cls(torch.from_numpy(held_out.t_u), torch.from_numpy(held_out.t_c), root)

    def is_defined(self, model: Model, fitted: Affine, params: Tensor) -> bool:
        """Whether the model has a value at parameters (K,) for each reading."""
        return bool(torch.as_tensor(model(fitted.apply(self.t_u, torch.float64), *params)).isfinite().all())

    def losses(self, yardstick: Yardstick, path: Tensor) -> Tensor:
        """Of parameters as trained (R, P, K): (R, P) float64."""
        t_un = yardstick.fitted.apply(self.t_u, torch.float64)
        params = path.to("cpu", torch.float64).flatten(end_dim=1)
        t_p, t_c = predict(yardstick.model, t_un, params), self.t_c
        if self.root is not None:
            t_p, t_c = t_p * self.root, t_c * self.root
        return yardstick.loss(t_p, t_c).reshape(path.shape[:2])
