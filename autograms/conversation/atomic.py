"""Writing a file so that nobody ever sees half of it.

What belongs here: the one way in which finished files come into being, in a folder or an object store. What does
not: append-only files (``journal``) and what is written.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["AnyPath", "replacing", "storage_path"]

AnyPath = str | os.PathLike[str]
"""A path of this machine, or an object store's URL or ``UPath`` (``s3://bucket/key``, ``memory://name``)."""


def storage_path(path: AnyPath | UPath) -> Path | UPath:
    """Return a path to read from or write to: a ``Path`` on this machine, a ``UPath`` elsewhere."""
    if isinstance(path, Path):
        return path
    if isinstance(path, str) and "://" not in path:
        return Path(path)
    from upath import UPath

    found = UPath(path)
    return Path(found.path) if found.protocol in ("", "file", "local") else found


@contextmanager
def replacing(path: AnyPath | UPath) -> Iterator[IO[bytes]]:
    """Open a new file for writing that takes the place of ``path`` when the block ends without an error.

    On this machine the file is written under a temporary name in the same folder and renamed; for an object store
    it is written to a temporary file and uploaded whole. Missing parent folders are made; a missing bucket is not.

    Args:
        path: The file.

    Yields:
        The binary file to write to.
    """
    target = storage_path(path)
    if isinstance(target, Path):
        with _replacing_local(target) as file:
            yield file
        return
    with tempfile.NamedTemporaryFile(prefix="autograms-") as file:
        yield file
        file.flush()
        target.fs.put_file(file.name, target.path)


@contextmanager
def _replacing_local(target: Path) -> Iterator[IO[bytes]]:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
