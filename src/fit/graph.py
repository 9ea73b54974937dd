"""The autograd graph of one forward and backward pass, as plain data: what the chapter draws.

It is the real graph: walked from the loss's `grad_fn` to the leaves, not written down by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ..functions import parameter_names
from ..losses import Loss, mse
from ..models import Model


@dataclass(frozen=True)
class Node:
    """A leaf (a parameter, or data, which needs no gradient), an operation, or the loss.

    `depth` is the longest way to it from a leaf. Parameters and the loss have a `value` and a `grad`, that
    of the loss by them.
    """

    kind: Literal["parameter", "data", "operation", "loss"]
    name: str
    depth: int = 0
    value: float | None = None
    grad: float | None = None


@dataclass(frozen=True)
class Graph:
    """Nodes, operands before what is computed from them, and forward edges as pairs of their places."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[int, int], ...]

    @property
    def gradient_edges(self) -> tuple[tuple[int, int], ...]:
        """The gradients' way back, from the loss to the parameters: none to data."""
        return tuple((end, start) for start, end in self.edges if self.nodes[start].kind != "data")


def trace(
    model: Model,
    t_un: Tensor,
    t_c: Tensor,
    params: Mapping[str, float],
    names: tuple[str, str] = ("t_un", "t_c"),
    loss_fn: Loss = mse,
) -> Graph:
    """The graph of the loss over normalized inputs (N,) and targets (N,), whose `names` label the data.

    Each parameter is a scalar leaf of its own in the inputs' dtype, as in the chapter's figure. Raises
    KeyError where `params` lacks one of the model's.
    """
    leaves = {
        name: torch.tensor(params[name], dtype=t_un.dtype, device=t_un.device, requires_grad=True)
        for name in parameter_names(model)
    }
    t_c = t_c.to(t_un)  # as the loop does
    loss = loss_fn(model(t_un, *leaves.values()), t_c)
    loss.backward()  # type: ignore[no-untyped-call]
    # Autograd leaves out what needs no gradient. A twin in which data needs one too says what stood there.
    data = {name: t.detach().clone().requires_grad_() for name, t in zip(names, (t_un, t_c), strict=True)}
    twin = loss_fn(model(data[names[0]], *leaves.values()), data[names[1]])
    walk = _Walk({id(tensor): name for name, tensor in (leaves | data).items()})
    last = walk.visit(loss.grad_fn, twin.grad_fn)
    walk.add(Node("loss", "loss", walk.nodes[last].depth + 1, value=loss.item(), grad=1.0), [last])
    return Graph(tuple(walk.nodes), tuple(walk.edges))


class _Walk:
    """Walks a graph and its twin in step, operands first; a node that is reached twice is one node."""

    def __init__(self, names: Mapping[int, str]) -> None:
        """`names`: of leaf tensors, by id."""
        self.names = names
        self.nodes: list[Node] = []
        self.edges: list[tuple[int, int]] = []
        self.places: dict[object, int] = {}

    def visit(self, function: Any, twin: Any) -> int:
        """The place of a function's node; `function` is None where only the twin has one: data."""
        key = self.expression(twin) if function is None else function
        if key not in self.places:
            self.places[key] = self.make(key, twin)
        return self.places[key]

    def make(self, function: Any, twin: Any) -> int:
        """The place of a new node; `function` is a data's name where only the twin has one."""
        if isinstance(function, str):
            return self.add(Node("data", function), [])
        if hasattr(function, "variable"):
            leaf = function.variable
            name = self.names[id(leaf)]
            return self.add(Node("parameter", name, value=leaf.item(), grad=leaf.grad.item()), [])
        pairs = zip(_operands(function), _operands(twin), strict=True)
        # both are None for a number that the model's code holds
        operands = [self.visit(real, its_twin) for real, its_twin in pairs if its_twin is not None]
        depth = 1 + max(self.nodes[place].depth for place in operands)
        return self.add(Node("operation", _operation(function), depth), operands)

    def add(self, node: Node, operands: list[int]) -> int:
        """The place of a node that was not there before."""
        self.nodes.append(node)
        place = len(self.nodes) - 1
        self.edges += [(operand, place) for operand in operands]
        return place

    def expression(self, function: Any) -> str:
        """What was computed from data alone, like `t_un**2`."""
        if hasattr(function, "variable"):
            return self.names[id(function.variable)]
        operands = [self.expression(operand) for operand in _operands(function) if operand is not None]
        if isinstance(exponent := getattr(function, "_saved_exponent", None), int | float):
            return f"{operands[0]}**{exponent:g}"
        return f"{_operation(function)}({', '.join(operands)})"


def _operands(function: Any) -> Iterator[Any]:
    return (operand for operand, _ in function.next_functions)


def _operation(function: Any) -> str:
    """`MulBackward0` -> `mul`."""
    return str(function.name()).split("Backward")[0].lower()
