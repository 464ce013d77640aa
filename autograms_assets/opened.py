"""Files of the project that a program seems to open, by the literals in its source.

A program that puts a path together from variables is not seen through. What does not belong here: the files that the
settings name, which are part of the fingerprint (``workspace``).
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from autograms_assets.workspace import Sources

__all__ = ["unnamed_files"]

_LONGEST = 200
"""Characters of a literal that is looked at."""


def unnamed_files(sources: Sources, root: Path) -> dict[str, str]:
    """Return files of the project that the programs seem to open and the settings do not name.

    Args:
        sources: The programs, and the data files that are named.
        root: The project's folder.

    Returns:
        Path inside the project to the source file that names it first.
    """
    root = root.resolve()
    found: dict[str, str] = {}
    for program in (sources.chatbot, sources.userbot):
        for file in program.files if program is not None else ():
            for literal in _paths(ast.parse(file.text)):
                for base in (file.path.parent, root):
                    name = _inside(base / literal, root)
                    if name is not None and name not in sources.data:
                        found.setdefault(name, file.name)
    return found


def _paths(tree: ast.AST) -> Iterator[str]:
    """Yield the texts in a program, and those that ``/`` joins, as in ``Path(__file__).parent / "data" / "x.json"``."""
    joined: set[ast.AST] = set()
    for node in ast.walk(tree):  # which meets a path before its parts
        parts = []
        while node not in joined and isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            parts.append(_text(node.right))
            joined |= {node, node.right}
            node = node.left
        if parts and isinstance(node, ast.Call) and len(node.args) == 1:
            node = node.args[0]  # Path("data") / "x.json"
        if node not in joined:
            parts.append(_text(node))
            joined.add(node)
        text = "/".join(part for part in reversed(parts) if part)
        if None not in parts[:-1] and 0 < len(text) <= _LONGEST and text.isprintable():
            yield text


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _inside(path: Path, root: Path) -> str | None:
    try:
        resolved = path.resolve()
        known = resolved.is_relative_to(root) and resolved.suffix != ".py" and resolved.is_file()
    except OSError:
        return None
    return resolved.relative_to(root).as_posix() if known else None
