"""Reaching what is stored: a folder of this machine, or an object store.

What belongs here: what goes wrong on the way to an object store, in words, and the folder of this machine beside it.
What does not: writing (``atomic``), and what is stored where.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from autograms.conversation.atomic import replacing
from autograms.errors import StorageError

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["ensure_reachable", "fetch_folder", "reaching", "scratch_root"]

_BLOCK = 1 << 22
_MOST_CAUSES = 10


@contextmanager
def reaching(storage: Path | UPath) -> Iterator[None]:
    """Turn what an object store refuses inside of the block into one clear error. A folder's errors stay as they are.

    Args:
        storage: The storage's root.

    Raises:
        StorageError: Where the store does not answer, refuses, or does not exist.
    """
    try:
        yield
    except Exception as error:
        if isinstance(storage, Path) or (why := _why(error)) is None:
            raise
        raise StorageError(f"the storage {storage} cannot be used: {why}") from None


def ensure_reachable(storage: Path | UPath) -> None:
    """Ask an object store for what it holds, so that a wrong key or bucket is not taken for an empty storage.

    Args:
        storage: The storage's root; a folder needs not exist.

    Raises:
        StorageError: Where the store does not answer, refuses, or does not exist.
    """
    if isinstance(storage, Path):
        return
    with reaching(storage):
        try:
            storage.fs.ls(storage.path, detail=False)
        except FileNotFoundError as error:
            if _why(error) is not None:
                raise


def scratch_root(storage: Path | UPath, beside: Path) -> Path:
    """Return the folder of this machine for unfinished work: journals, checkpoints, copies of what a store holds.

    Args:
        storage: The storage's root.
        beside: Where that folder stands if the storage is an object store.
    """
    if isinstance(storage, Path):
        return storage / ".work"
    name = hashlib.blake2b(str(storage).encode(), digest_size=6).hexdigest()
    return beside / ".work" / f"{storage.protocol}-{name}"


def fetch_folder(stored: UPath, here: Path, *, last: str) -> Path:
    """Copy a folder of an object store to this machine, where it is not there already, and return it.

    Args:
        stored: The folder in the store.
        here: The folder of this machine; what is in it goes.
        last: Name of the file that is copied last: a copy is whole, and the same, where this file is.

    Raises:
        FileNotFoundError: Where the stored folder has no such file.
    """
    wanted = (stored / last).read_bytes()
    copied = here / last
    if copied.is_file() and copied.read_bytes() == wanted:
        return here
    shutil.rmtree(here, ignore_errors=True)
    files = [file for file in stored.rglob("*") if file.is_file()]
    for file in sorted(files, key=lambda file: file.name == last):
        with file.open("rb") as source, replacing(here / file.relative_to(stored).as_posix()) as target:
            shutil.copyfileobj(source, target, _BLOCK)
    return here


def _why(error: BaseException) -> str | None:
    """Return what an object store means, in words; ``None`` where the error is none of its."""
    causes = list(_causes(error))
    kinds = {type(cause).__name__ for cause in causes}
    if kinds & {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "TokenRetrievalError"}:
        return (
            f"no credentials were found ({causes[-1]}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        )
    if "NoSuchBucket" in kinds or any("bucket does not exist" in str(cause) for cause in causes):
        return "there is no such bucket; create it, or name another in AUTOGRAMS_STORAGE"
    for cause in causes:
        if isinstance(cause, PermissionError) and cause.filename is None:
            return (
                f"access was refused ({cause}); look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and at what they "
                "may do: list the bucket, read, write and delete"
            )
        if isinstance(cause, ImportError) and "access S3" in str(cause):
            return 'a package for it is missing; pip install "autograms-assets[s3]"'
        if type(cause).__module__.partition(".")[0] in ("botocore", "aiobotocore"):
            return f"{cause}; look at AWS_ENDPOINT_URL and the network"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__
