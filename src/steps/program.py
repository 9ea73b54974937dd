"""A tape's calls -> one function that makes them again, each result put where the first one was."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import cache, lru_cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from .tape import Call, Tape, is_steady, memories, memory, tensors

# by these names of its own torch gets to the same kernels a microsecond sooner
QUICK: dict[str, Callable[..., Any]] = {
    "aten.add.Tensor": torch.add, "aten.sub.Tensor": torch.sub, "aten.mul.Tensor": torch.mul,
    "aten.add.Scalar": torch.add, "aten.sub.Scalar": torch.sub, "aten.mul.Scalar": torch.mul,
    "aten.div.Tensor": torch.div, "aten.div.Scalar": torch.div, "aten.neg.default": torch.neg,
    "aten.pow.Tensor_Scalar": torch.pow, "aten.pow.Tensor_Tensor": torch.pow, "aten.exp.default": torch.exp,
    "aten.log.default": torch.log, "aten.tanh.default": torch.tanh, "aten.abs.default": torch.abs,
    "aten.sgn.default": torch.sgn, "aten.where.self": torch.where,
    "aten.sum.dim_IntList": torch.sum, "aten.mean.dim": torch.mean,
}  # fmt: skip
SHORT = 64  # N up to which it takes longer to begin with a row than to compute it

_Again = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]  # what to call, and with what


class Program:
    """What a tape holds, simplified; each result is where it was before."""

    def __init__(self, tape: Tape, params: Tensor, after: Tensor, losses: Tensor) -> None:
        """`params` are read; `after` is what they become in one step, with these `losses`."""
        self._params, self._after = params, after
        calls = _without_copies(tape.calls, memories([after, losses]))
        self._calls = _without_short_rows(calls, tape.changing)

    def giving(self, *more: Tensor) -> Callable[[], None]:
        """A function that puts the new parameters where the old ones are, and `more` where they are."""
        wanted, needed = memories([self._after, *more]), list[Call]()
        for call in reversed(self._calls):
            if call.writes & wanted:
                wanted |= call.reads
                needed.insert(0, call)
        calls = [_again(call) for call in _without_stacks(needed)]
        return _straight_line([*calls, (self._params.copy_, (self._after,), {})])


def _without_copies(calls: list[Call], results: Collection[int]) -> list[Call]:
    """Whoever reads a copy reads what was copied."""
    left: list[Call] = []
    instead: dict[int, Tensor] = {}
    readers, writers = _readers(calls), Counter(address for call in calls for address in call.writes)
    for call in calls:
        call = _given(call, instead)
        copied = _copied_by(call)
        if (
            copied is None
            or call.writes & set(results)
            or writers[memory(copied)] > 1  # one of the two is changed later
            or writers[memory(call.out)] > 1
            or readers[memory(call.out)] != {id(call.out)}  # the copy is read in other views
        ):
            left.append(call)
        else:
            instead[id(call.out)] = copied
    return left


def _copied_by(call: Call) -> Tensor | None:
    """What a call does nothing but copy, in the same layout."""
    copied = call.args[-1] if call.name == "copy" else call.args[0]
    to_the_first = str(call.func) == "aten.pow.Tensor_Scalar" and call.args[1] == 1
    if call.name not in ("copy", "clone") and not to_the_first:
        return None
    layouts = {(each.shape, each.stride(), each.dtype) for each in (copied, call.out)}
    return copied if len(layouts) == 1 else None


def _without_short_rows(calls: list[Call], changing: Collection[int]) -> list[Call]:
    """What is constant and shared by the runs, as a row for each: all rows are then computed as one."""
    rows: dict[tuple[int, torch.Size], Tensor] = {}
    left = []
    for call in calls:
        instead = {}
        if torch.Tag.pointwise in call.func.tags and is_steady(call) and call.out.is_contiguous():
            shape = call.out.shape
            for each in tensors(call.args):
                if (
                    each.shape != shape
                    and each.numel() > 1
                    and shape[-1] <= SHORT
                    and memory(each) not in changing
                ):
                    instead[id(each)] = rows.setdefault((id(each), shape), each.expand(shape).contiguous())
        left.append(_given(call, instead))
    return left


def _without_stacks(calls: list[Call]) -> list[Call]:
    """What is only made to be stacked is put into the stack at once."""
    makers = {id(call.out): n for n, call in enumerate(calls) if _into_memory(call.func)}
    readers = defaultdict[int, list[Call]](list)
    for call in calls:
        for address in call.reads:
            readers[address].append(call)
    left: list[Call | None] = list(calls)
    for n, call in enumerate(calls):
        if call.name == "stack":
            pieces, dim = call.args[0], [*call.args[1:], 0][0]
            is_each_once = len(memories(pieces)) == len(pieces)  # two parameters may share a gradient
            if is_each_once and all(
                id(each) in makers and readers[memory(each)] == [call] for each in pieces
            ):
                for piece, place in zip(pieces, call.out.unbind(dim), strict=True):
                    maker = makers[id(piece)]
                    left[maker] = replace(calls[maker], out=place)
                left[n] = None
    return [call for call in left if call is not None]


def _given(call: Call, instead: dict[int, Tensor]) -> Call:
    """The call with other tensors, by the ids of those that they stand for."""
    if not any(id(each) in instead for each in tensors((call.args, call.kwargs))):
        return call
    args, kwargs = tree_map_only(Tensor, lambda each: instead.get(id(each), each), (call.args, call.kwargs))
    return replace(call, args=args, kwargs=kwargs)


def _readers(calls: Iterable[Call]) -> dict[int, set[int]]:
    """Memory -> ids of the tensors by which it is read."""
    readers = defaultdict[int, set[int]](set)
    for call in calls:
        for each in tensors((call.args, call.kwargs)):
            readers[memory(each)].add(id(each))
    return readers


def _again(call: Call) -> _Again:
    """The call that puts its result where the first one is."""
    if call.in_place:
        return call.func, call.args, call.kwargs
    way = _into_memory(call.func) if isinstance(call.out, Tensor) else None
    if way is None:
        return partial(_copied, call), (), {}
    variant, place = way
    return QUICK.get(str(call.func), variant), _numbers_as_tensors(call), {**call.kwargs, place: call.out}


def _numbers_as_tensors(call: Call) -> tuple[Any, ...]:
    """The number in `x * 2` becomes a tensor, once: torch would make one in each step."""
    args = list(call.args)
    with_number = call.name in ("add", "sub", "mul", "div") and isinstance(args[1], int | float)
    if with_number and args[0].is_floating_point() and args[0].dtype == call.out.dtype:
        args[1] = torch.tensor(args[1], dtype=call.out.dtype, device=call.out.device)
    return tuple(args)


def _copied(call: Call) -> None:
    """For operations that cannot be told where to put their results."""
    found = call.func(*call.args, **call.kwargs)
    for old, new in zip(tensors(call.out), tensors(found), strict=True):
        old.copy_(new)


@cache
def _into_memory(func: Any) -> tuple[Any, str] | None:
    """The overload that writes into given memory, and its name for that; None where there is none."""
    wanted = [(each.name, str(each.type)) for each in func._schema.arguments]
    packet = func.overloadpacket
    for overload in (getattr(packet, name) for name in packet.overloads()):
        arguments = overload._schema.arguments
        places = [each.name for each in arguments if each.alias_info and each.alias_info.is_write]
        others = [(each.name, str(each.type)) for each in arguments if each.name not in places]
        if len(places) == 1 and others == wanted:
            return overload, places[0]
    return None


def _straight_line(calls: Sequence[_Again]) -> Callable[[], None]:
    """All calls in one function without a loop: a loop over them takes as long as some of the calls."""
    names: dict[str, Any] = {}
    lines = []
    for n, (function, args, kwargs) in enumerate(calls):
        values = {f"v{n}_{i}": value for i, value in enumerate((*args, *kwargs.values()))}
        keys = [""] * len(args) + [f"{key}=" for key in kwargs]
        given = ", ".join(key + value for key, value in zip(keys, values, strict=True))
        lines.append(f"        f{n}({given})")
        names |= {f"f{n}": function, **values}
    body = "\n".join(lines)
    make = _compiled(f"def make({', '.join(names)}):\n    def run():\n{body}\n    return run\n")
    return make(*names.values())


@lru_cache(maxsize=64)
def _compiled(source: str) -> Callable[..., Callable[[], None]]:
    """Once for all captures of a form: runs leave the work, and those that stay are captured again."""
    space: dict[str, Any] = {}
    exec(source, space)
    make: Callable[..., Callable[[], None]] = space["make"]
    return make
