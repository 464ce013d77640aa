"""Hashes: of programs, of settings, of tables and folders.

A *fingerprint* is the hash of all that a result depends on; a *version* is the hash of a result's content. A program's
fingerprint covers its file and every local module it imports, as syntax trees: comments, blank lines and layout do not
count, docstrings do (a model's schema is made from them). What does not belong here: where hashes are stored
(``stamps``), and what is done about a difference (``reuse``).
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from autograms.errors import ProgramFileError

if TYPE_CHECKING:
    from autograms.conversation.record import Memory

__all__ = [
    "Program",
    "SourceFile",
    "combine",
    "file_version",
    "local_files",
    "memories_version",
    "read_program",
    "table_version",
    "value_version",
    "versions_of",
]

_TIMES_AND_PRICES = ("cost_usd", "milliseconds", "reused", "input_tokens", "output_tokens")
_BLOCK = 1 << 20


# ------------------------------------------------------------------------------------------------------------ programs


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One source file of a program.

    Attributes:
        path: The file.
        name: Its path inside the project, with ``/``.
        text: The source.
        digest: Hash of its syntax tree.
    """

    path: Path
    name: str
    text: str
    digest: str


@dataclass(frozen=True, slots=True)
class Program:
    """A program's file and the local modules that it imports, the file first.

    Attributes:
        files: The source files, the entry first and the others by name.
        digest: Hash of all of their syntax trees.
    """

    files: tuple[SourceFile, ...]
    digest: str


def read_program(entry: Path, *, root: Path) -> Program:
    """Read a program and the local modules that it imports, directly or through another.

    Args:
        entry: The program's file.
        root: The project's folder. Absolute imports are looked for beside the entry and in ``root``.

    Raises:
        ProgramFileError: Where a file is missing or does not parse; the message names file and line.
    """
    entry, root = entry.resolve(), root.resolve()
    found = {}
    for path in local_files(entry, root=root):
        parsed = _parse_as_it_stands(path)
        found[path] = SourceFile(path, _name_in(root, path), parsed.text, parsed.digest)
    others = sorted((file for path, file in found.items() if path != entry), key=lambda file: file.name)
    files = (found[entry], *others)
    return Program(files, combine({file.name if file.path != entry else "": file.digest for file in files}))


def local_files(entry: Path, *, root: Path) -> list[Path]:
    """Return the program's file and those of the local modules that it imports; one that does not parse ends there.

    Args:
        entry: The program's file.
        root: The project's folder.
    """
    entry, root = entry.resolve(), root.resolve()
    found: dict[Path, None] = {}
    waiting = [entry]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = None
            with contextlib.suppress(ProgramFileError):
                waiting += _resolve_imports(_parse_as_it_stands(path).imports, path, (entry.parent, root))
    return list(found)


@dataclass(frozen=True, slots=True)
class _Import:
    level: int
    module: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Parsed:
    text: str
    digest: str
    imports: tuple[_Import, ...]


def _parse_as_it_stands(path: Path) -> _Parsed:
    try:
        status = path.stat()
    except OSError as error:
        raise ProgramFileError(
            f"{path} cannot be read ({error.strerror}); expected a Python file that defines chatbot()"
        ) from None
    return _parse(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=8192)
def _parse(path: Path, size: int, mtime_ns: int) -> _Parsed:
    del size, mtime_ns  # part of the cache's key: a file that changed is parsed again
    try:
        data = path.read_bytes()
        tree = ast.parse(data, filename=str(path))
        text = data.decode("utf-8-sig")  # what some editors put in front is no part of the text
    except SyntaxError as error:
        raise ProgramFileError(
            f"{path}:{error.lineno or 1}: {error.msg}; the file must parse as Python before anything can run"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ProgramFileError(f"{path} cannot be read as Python: {error}; expected UTF-8 source text") from None
    return _Parsed(text, _digest(ast.dump(tree).encode()), tuple(_imports(tree)))


def _imports(tree: ast.AST) -> Iterator[_Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _Import(0, alias.name, ())
        elif isinstance(node, ast.ImportFrom):
            yield _Import(node.level, node.module or "", tuple(alias.name for alias in node.names))


def _resolve_imports(imports: Iterable[_Import], path: Path, roots: Sequence[Path]) -> Iterator[Path]:
    for item in imports:
        bases = roots if item.level == 0 else (path.parents[min(item.level, len(path.parents)) - 1],)
        for base in bases:
            files = list(_module_files(base, item))
            if files:
                yield from files
                break


def _module_files(base: Path, item: _Import) -> Iterator[Path]:
    """Yield the files that importing ``item`` below ``base`` runs: packages' ``__init__.py`` and modules."""
    folder = base
    for part in item.module.split(".") if item.module else ():
        yield from _module(folder, part)
        folder = folder / part
    for name in item.names:
        yield from _module(folder, name)


def _module(folder: Path, name: str) -> Iterator[Path]:
    for candidate in (folder / f"{name}.py", folder / name / "__init__.py"):
        if candidate.is_file():
            yield candidate


def _name_in(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


# ------------------------------------------------------------------------------------------------- values and versions


def combine(parts: Mapping[str, Any]) -> str:
    """Return the hash of named parts: plain JSON values, in any order."""
    return _digest(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode())


def value_version(value: Any) -> str:
    """Return the content hash of a plain JSON value."""
    return combine({"value": value})


def file_version(path: Path) -> str:
    """Return the content hash of a file."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def versions_of(*packages: str) -> dict[str, str]:
    """Return the installed versions of packages, without importing them; ``"none"`` for those that are not there."""
    return {package: _installed(package) for package in packages}


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def table_version(table: pa.Table, *, without: Iterable[str] = ()) -> str:
    """Return the content hash of a table: its columns' names, types and values, in order; no metadata.

    Args:
        table: The table.
        without: Columns that are not part of the content.
    """
    left = table.drop_columns([name for name in without if name in table.column_names]).combine_chunks()
    sink = _HashSink()
    pq.write_table(
        left.replace_schema_metadata(None),
        pa.PythonFile(cast("Any", sink), mode="w"),
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        store_schema=False,
    )
    return sink.digest.hexdigest()


def memories_version(memories: Iterable[Memory]) -> str:
    """Return the content hash of conversations: everything but times, prices and what was reused."""
    digest = hashlib.blake2b(digest_size=16)
    for memory in memories:
        data = memory.to_dict()
        data.pop("fingerprint", None)
        for call in data["calls"]:
            for name in _TIMES_AND_PRICES:
                call.pop(name, None)
        digest.update(json.dumps(data, sort_keys=True, separators=(",", ":")).encode())
    return digest.hexdigest()


class _HashSink:
    """A file object that keeps nothing of what is written to it but the hash."""

    def __init__(self) -> None:
        self.digest = hashlib.blake2b(digest_size=16)
        self.closed = False

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    def close(self) -> None:
        self.closed = True


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
