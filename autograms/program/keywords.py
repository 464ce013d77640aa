"""Keywords that a primitive does not know, told when a program is loaded, before anything is paid.

A keyword without a supervisor to take it is ignored, so that this is a warning. Only calls whose function is certain
are looked at. What does not belong here: which keywords there are (``primitives``).
"""

from __future__ import annotations

import ast
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from autograms.errors import nearest

__all__ = ["TOLD", "local_names", "named", "takes_keywords", "unknown_keyword", "value_in", "warn_of_unknown"]

_KNOWN = "__autograms_keywords__"
TOLD = "__autograms_told__"
"""The hidden global of a module that holds what it was warned of: pairs of a function's name and a keyword."""


def takes_keywords(function: Callable[..., Any], known: frozenset[str]) -> None:
    """Note which keywords a function knows; any other one is for its supervisor."""
    setattr(function, _KNOWN, known)


def unknown_keyword(name: str, keyword: str, known: frozenset[str]) -> str:
    """Return what is told of a keyword that a function does not know."""
    return f"{name}() has no keyword {keyword!r}; it is ignored{nearest(keyword, known)}"


def warn_of_unknown(tree: ast.Module, module: types.ModuleType) -> None:
    """Warn of each keyword in a module that is nobody's.

    Args:
        tree: The module's syntax tree.
        module: The module, which has run.
    """
    told: set[tuple[str, str]] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.keywords:
            continue
        path = named(node.func)
        known = getattr(value_in(module, path), _KNOWN, None) if path else None
        given = {each.arg: each.value for each in node.keywords}
        if known is None or None in given or _acts(given.get("supervisor")):
            continue
        for keyword in given:
            if keyword is not None and keyword not in known and path[0] not in local_names(tree):
                text = unknown_keyword(path[-1], keyword, known)
                warnings.warn(f"{module.__file__}:{node.lineno}: {text}", stacklevel=2)
                told.add((path[-1], keyword))
    if told:
        setattr(module, TOLD, told)


def named(node: ast.expr) -> tuple[str, ...]:
    """Return a name, or a name behind names and dots, in its parts; nothing for another expression."""
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute) and (above := named(node.value)):
        return (*above, node.attr)
    return ()


def value_in(module: Any, path: Iterable[str]) -> Any:
    """Return what a name in a module, or in modules of it, stands for; ``None`` where that is not certain."""
    value = module
    for name in path:
        value = vars(value).get(name) if isinstance(value, types.ModuleType) else None  # asking may import, and fail
    return value


def local_names(tree: ast.AST) -> Iterator[str]:
    """Yield every name that is bound in some other way than by an import or a definition at the module's top."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield from (inner.name for inner in ast.walk(node) if inner is not node and hasattr(inner, "name"))


def _acts(supervisor: ast.expr | None) -> bool:
    return supervisor is not None and not (isinstance(supervisor, ast.Constant) and supervisor.value is None)
