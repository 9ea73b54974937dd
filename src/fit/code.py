"""What a function computes, as a hash: edited it is another, comments and new neighbours change nothing."""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

DOCUMENTED = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)


@cache
def code_digest(*functions: Any) -> str:
    """Of the functions' code and of all of their own package that they use, 16 hex digits."""
    found: dict[str, str] = {}
    for function in functions:
        _collect(function, found)
    text = "\n".join(f"{name} {found[name]}" for name in sorted(found))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _collect(thing: Any, found: dict[str, str]) -> None:
    """Into `found`, by name: the code of a function or a class, and of what it names."""
    thing = inspect.unwrap(thing)
    name = f"{thing.__module__}.{thing.__qualname__}"
    if name in found:
        return
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError, SyntaxError):  # of no file, as in an interpreter, or a part of a line
        found[name] = repr(_compiled(thing.__code__))
        return
    found[name] = ast.dump(_bare(tree))
    module = inspect.getmodule(thing)
    for used, value in _used(tree, vars(module) if module else {}):
        if (inspect.isfunction(value) or inspect.isclass(value)) and _is_of(value, thing):
            _collect(value, found)
        elif text := _constants(value):
            found[f"{name}: {used}"] = text


def _used(tree: ast.AST, names: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the code names, `function` or `module.function`, and what that is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in names:
            yield node.id, names[node.id]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = names.get(node.value.id)
            if isinstance(module, ModuleType) and hasattr(module, node.attr):
                yield f"{node.value.id}.{node.attr}", getattr(module, node.attr)


def _constants(value: Any) -> str:
    """The numbers and texts in a value, in tables and tensors, too; what else it holds leaves no trace."""
    if isinstance(value, int | float | complex | str):
        return repr(value)
    if isinstance(value, dict):
        value = tuple(value.items())
    if isinstance(value, set | frozenset):
        return f"[{', '.join(sorted(map(_constants, value)))}]"
    if isinstance(value, list | tuple):
        each = ", ".join(map(_constants, value))
        return f"({each}{',' * (len(value) == 1)})" if isinstance(value, tuple) else f"[{each}]"
    return repr(value.tolist()) if hasattr(value, "tolist") and not inspect.isclass(value) else ""


def _is_of(value: Any, thing: Any) -> bool:
    """Whether it is of the same package or of a file beside it; what is installed has a version."""
    if value.__module__.partition(".")[0] == thing.__module__.partition(".")[0]:
        return True
    files = [inspect.getsourcefile(each) for each in (value, thing)] if value.__module__ != "builtins" else []
    return len({Path(file).parent for file in files if file}) == 1 and None not in files


def _bare(tree: ast.AST) -> ast.AST:
    """Without docstrings and the kinds of values, which compute nothing."""
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef):
            node.returns = None
    return tree


def _compiled(code: CodeType) -> tuple[object, ...]:
    constants = [_compiled(each) if isinstance(each, CodeType) else each for each in code.co_consts]
    return code.co_code, code.co_names, constants
