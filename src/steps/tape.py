"""The operations that a step takes, autograd's backward among them, written down as they are taken.

What could not be repeated, or not be seen, is refused: randomness, in-place changes, values read into
Python. And what is done for many runs at once is for each, to the bit, what is done for it alone: `STEADY`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

# Operations that give a row the same bits wherever it lies in a packed (R, N) tensor: they move values, or
# round as IEEE 754 demands, or take the same code in the middle of a vector register as at the end of a row.
# Others do not (sigmoid, cosh, logaddexp, most powers): what is not listed gets a gap behind each row.
STEADY = frozenset({
    "add", "sub", "rsub", "mul", "div", "reciprocal", "sqrt", "neg", "abs", "sgn", "sign", "pow",
    "exp", "expm1", "log", "log1p", "tanh",
    "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_not",
    "where", "masked_fill", "maximum", "minimum", "clamp", "clamp_min", "clamp_max",
    "sum", "mean", "amax", "amin",
    "stack", "cat", "slice_backward", "select_backward", "clone", "copy", "_to_copy", "new_empty_strided",
    "fill", "zero", "ones_like", "zeros_like", "full_like",
})  # fmt: skip
STEADY_POWERS = (1, 2, 3)  # these are products
REDUCTIONS = {"sum", "mean", "amax", "amin"}  # steady over the last dimension, where it lies in one piece

# Of operations on one element at a time, those that take another kernel where rows lie apart.
UNEVEN = {"gelu", "gelu_backward"}
# And those that are such without the tag
ELEMENTWISE = {"softplus_backward", "elu_backward", "leaky_relu_backward", "hardtanh_backward"}

READS = {"numpy", "tolist", "data_ptr", "__array__", "__dlpack__", "__repr__"}  # past the dispatcher


class CaptureError(Exception):
    """The step does what could not be repeated, or not be seen; the text says what."""


class RandomError(CaptureError):
    """It draws random numbers."""


class UnsteadyError(Exception):
    """What it does to many runs may have other last bits than what it does to each alone."""


@dataclass(frozen=True, eq=False)
class Call:
    """An operation, what it was given and what it gave."""

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any

    @cached_property
    def name(self) -> str:
        """Torch's name of the operation: `mul` of aten::mul.Tensor and, in place, of aten::mul_.Tensor."""
        name: str = self.func._schema.name
        return name.partition("::")[2].removesuffix("_")

    @property
    def in_place(self) -> bool:
        """Whether its result is put where one of its operands was."""
        return bool(self.func._schema.is_mutable)

    @cached_property
    def reads(self) -> set[int]:
        """The memory it reads."""
        return memories((self.args, self.kwargs))

    @cached_property
    def makes(self) -> set[int]:
        """The memory it allocates; none where it gives another view of what it was given."""
        return memories(self.out) - self.reads

    @cached_property
    def writes(self) -> set[int]:
        """The memory that holds its result."""
        return memories(self.args[0]) if self.in_place else self.makes


class Repeatable(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises RandomError before an operation draws random numbers."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here; to tell torch's compiler so is to import it: a second

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise RandomError(f"{func} is random")
        return func(*args, **(kwargs or {}))


class Tape(Repeatable):  # type: ignore[no-untyped-call]
    """`with tape:` fills `calls` with those whose results change with the parameters, and `changing` with the
    memory of these; raises CaptureError, and UnsteadyError where `gaps` are needed."""

    def __init__(self, rows: list[Tensor], gaps: bool) -> None:
        """`rows`: what the step is given, (R, ·) or shared (1, ·), the R runs' with `gaps` or packed."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.changing = memories(rows[0])
        self._params = memories(rows[0])
        self._alive: list[Any] = []  # what is freed would leave its place to others, and be taken for them
        self._runs, self._gaps = len(rows[0]), gaps
        self._of_runs = memories([each for each in rows if len(each) == self._runs])
        self._blank: set[int] = set()  # memory that is allocated, and not yet written to
        self._watch = _Watch()

    def __enter__(self) -> Tape:
        self._watch.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        self._watch.__exit__(*raised)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.is_mutable:
            self._allow(func, args)
        if torch.Tag.dynamic_output_shape in func.tags:
            raise CaptureError(f"{func} gives a shape that depends on values")
        out = super().__torch_dispatch__(func, types, args, kwargs)
        call = Call(func, args, kwargs or {}, out)
        if not all(leaf is None or isinstance(leaf, Tensor) for leaf in leaves(out)):
            raise CaptureError(f"{func} reads a value into Python")
        if self._runs > 1 and call.reads & self._of_runs:
            call = self._of_each(call)
        self._alive.append(call.out)
        if "empty" in call.name:
            self._blank |= call.makes
        of_shape = call.name.startswith("new_") or call.name.endswith("_like")
        if call.writes and call.reads & self.changing and not of_shape:
            self.calls.append(call)  # what is left out is constant, or another view of what is there
            self.changing |= call.writes
        return call.out

    def _allow(self, func: Any, args: Any) -> None:
        """In place, only that is changed which is made anew in each step, or blank memory is filled."""
        written = [
            each.alias_info is not None and each.alias_info.is_write for each in func._schema.arguments
        ]
        place = memories(args[:1])
        if any(written[1:]) or not place <= self._blank | (self.changing - self._params):
            raise CaptureError(f"{func} changes a tensor in place")
        self._blank -= place

    def _of_each(self, call: Call) -> Call:
        """A call whose result has something of each run."""
        made = call.makes
        if call.writes and not is_steady(call) and not (self._gaps and is_elementwise(call)):
            raise UnsteadyError(call.name)
        if made and self._gaps:
            out = tree_map_only(
                Tensor, lambda each: with_gaps(each, self._runs) if memory(each) in made else each, call.out
            )
            call = Call(call.func, call.args, call.kwargs, out)
        self._of_runs |= memories(call.out)
        return call


class _Watch(TorchFunctionMode):
    """Refuses to read values where the dispatcher would not see it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in READS:
            raise CaptureError(f"{func.__name__} reads values into Python")
        return func(*args, **(kwargs or {}))


def is_steady(call: Call) -> bool:
    """Whether a row of the result is the same to the bit wherever it lies among other rows."""
    if call.name not in STEADY:
        return False
    if call.name == "pow":
        return not isinstance(call.args[1], Tensor) and call.args[1] in STEADY_POWERS
    if call.name in REDUCTIONS and len(call.args) > 1:
        rows, over = call.args[0], call.args[1]
        return [dim % rows.dim() for dim in over] == [rows.dim() - 1] and rows.stride(-1) == 1
    return bool(call.kwargs.get("alpha", 1) == 1)  # a multiple is added by one rounding or by two


def is_elementwise(call: Call) -> bool:
    """Whether each row is computed as if it were alone, if only it lies apart from others."""
    by_tag = torch.Tag.pointwise in call.func.tags and call.name not in UNEVEN
    return by_tag or call.name in ELEMENTWISE


def with_gaps(values: Tensor, runs: int) -> Tensor:
    """The same values: each run's lie as they do when it is alone, with an unused place behind.

    The dimension of the runs is the first that is as long as they are many; without one, all is as it was.
    """
    if runs not in values.shape:
        return values
    at, packed = values.shape.index(runs), list(values.stride())
    if not _is_dense(values):
        packed = list(torch.empty(values.shape, device="meta").stride())
    strides = [step // runs if step > packed[at] else step for step in packed]
    strides[at] = values.numel() // runs + 1
    apart = torch.empty_strided(values.shape, strides, dtype=values.dtype, device=values.device)
    return apart.copy_(values)


def _is_dense(values: Tensor) -> bool:
    """Whether each place in memory belongs to exactly one value."""
    steps = sorted(
        (step, length) for step, length in zip(values.stride(), values.shape, strict=True) if length > 1
    )
    place = 1
    for step, length in steps:
        if step != place:
            return False
        place *= length
    return True


def memory(tensor: Tensor) -> int:
    """What tells a tensor's memory from others', as long as both are alive."""
    address: int = tensor.untyped_storage()._cdata
    return address


def memories(tree: object) -> set[int]:
    """The memory of all tensors in a tree."""
    return {memory(each) for each in tensors(tree)}


def tensors(tree: object) -> list[Tensor]:
    """All tensors in a tree of what an operation is given or gives."""
    return [leaf for leaf in leaves(tree) if isinstance(leaf, Tensor)]


def leaves(tree: object) -> list[object]:
    """What lies in tuples, lists and dicts; torch's own `tree_leaves` takes three times as long."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    return [leaf for each in tree for leaf in leaves(each)] if isinstance(tree, list | tuple) else [tree]
