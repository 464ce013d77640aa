"""Which files of ``chatbots/`` are autograms, and which are modules that they import. Files are parsed, never run.

What does not belong here: loading a program (``autograms.program.loading``).
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from autograms.errors import ProgramFileError

__all__ = ["autogram_names", "no_chatbot", "problem_of", "rootless"]

_ROOT = "chatbot"
_Scope = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def autogram_names(folder: Path) -> list[str]:
    """Return the names of the autograms in a folder, sorted: the stems of its Python files.

    A leading ``_`` marks a module that programs import, and so does such an import where the file has no ``chatbot()``.
    """
    files = {path.stem: path for path in folder.glob("*.py") if not path.stem.startswith("_")}
    without = {name for name, path in files.items() if rootless(path) is not None}
    return sorted(set(files) - (without & _imported(folder) if without else without))


def rootless(path: Path) -> ProgramFileError | None:
    """Return the error of an autogram's file that defines no ``chatbot()``; ``None`` where it does, or may."""
    source = _source(path)
    return None if source is None or source.has_root else no_chatbot(path, source.functions)


def problem_of(path: Path) -> ProgramFileError | None:
    """Return what is wrong with an autogram's file as far as it shows without running it, ``None`` for nothing."""
    try:
        _read(path)
    except SyntaxError as error:
        return ProgramFileError(f"{path}:{error.lineno or 1}: syntax error: {error.msg}")
    except (OSError, ValueError, RecursionError):
        return None
    return rootless(path)


def no_chatbot(path: Path, functions: Iterable[str]) -> ProgramFileError:
    """Return the error of a file that is to be a program and has no root function.

    Args:
        path: The file.
        functions: Names of the functions that it defines.
    """
    found = ", ".join(sorted(functions))
    renamed = "" if path.name.startswith("_") else f"call it _{path.name}, or "
    return ProgramFileError(
        f"{path} defines no chatbot(): expected 'def chatbot(...)', the program's root"
        + (f" (it defines {found})" if found else "")
        + f"; if programs are to import it, {renamed}move it to {path.parent.name}/NAME/{path.name}"
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """What a Python file shows without being run: whether it may leave a ``chatbot`` behind, and what it names."""

    has_root: bool
    functions: tuple[str, ...]
    imports: frozenset[str]


def _source(path: Path) -> _Source | None:
    """Return what a file shows, ``None`` where it does not parse: loading it says why."""
    try:
        return _read(path)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


def _read(path: Path) -> _Source:
    status = path.stat()
    return _parsed(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _parsed(path: Path, size: int, mtime_ns: int) -> _Source:
    del size, mtime_ns  # part of the cache's key: a file that changed is parsed again
    tree = ast.parse(path.read_bytes(), filename=str(path))
    functions = tuple(node.name for node in tree.body if isinstance(node, ast.FunctionDef))
    return _Source(_may_bind_root(tree), functions, frozenset(_imports(tree)))


def _may_bind_root(tree: ast.AST) -> bool:
    for node in ast.walk(tree):  # `global chatbot`, `globals().update(chatbot=...)`: in doubt it is a program
        if isinstance(node, ast.Global) and _ROOT in node.names:
            return True
        if isinstance(node, ast.Constant) and node.value == _ROOT:
            return True
        if isinstance(node, ast.keyword) and node.arg == _ROOT:
            return True
    return any(name in (_ROOT, "*") for name in _bound(tree))


def _bound(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a module's own statements bind."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).split(".")[0]
        if not isinstance(node, _Scope):
            yield from _bound(node)


def _imported(folder: Path) -> set[str]:
    """Return the names of all modules that a program, or another module of theirs, imports."""
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        source = _source(path)
        if source is not None:
            found |= source.imports - {path.stem}
    return found


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [alias.name for alias in node.names]
        else:
            continue
        yield from (name.split(".")[0] for name in names)
