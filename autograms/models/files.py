"""A model's folder: which of its files make the model, and the version that their content gives it.

What does not belong here: loading a model (``loading``), and training one (``autograms.finetuning``).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

__all__ = ["MODEL_FILES", "TOKENIZER_FILES", "model_files", "model_version", "tokenizer_version"]

TOKENIZER_FILES = (
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges.txt", "*.model"),
    *("chat_template*", "preprocessor_config.json"),
)
"""Patterns of the files that make a model's tokenizer."""
MODEL_FILES = (
    *("config.json", "generation_config.json", "adapter_config.json"),
    *("*.safetensors", "*.safetensors.index.json"),
    *TOKENIZER_FILES,
)
"""Patterns of the files that make a model; pickled weights, which are never loaded, are not among them."""
_MIB = 1 << 20
_READ_WHOLE = 64 * _MIB


def model_files(folder: Path) -> list[Path]:
    """Return the files that make a folder's model, by name: its records, cards and pictures are not among them."""
    return _matching(folder, MODEL_FILES)


def model_version(name: str | Path) -> str:
    """Return what changes where a model does: the hash of its folder's files, or the name of one on the hub.

    A file of up to 64 MiB counts by its content; a larger one by its size, its time, and its first and last MiB, so
    that no simulation begins by reading gigabytes of weights.
    """
    return _version(name, MODEL_FILES)


def tokenizer_version(name: str | Path) -> str:
    """Return what changes where a model's tokenizer does: the hash of its files, or the name of one on the hub."""
    return _version(name, (*TOKENIZER_FILES, "config.json"))


def _version(name: str | Path, patterns: Iterable[str]) -> str:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return str(name)
    digest = hashlib.blake2b(digest_size=16)
    for path in _matching(folder, patterns):
        status = path.stat()
        digest.update(f"{path.name}\0{_content(path, status.st_size, status.st_mtime_ns)}\0".encode())
    return digest.hexdigest()


def _matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})


@functools.lru_cache(maxsize=1024)
def _content(path: Path, size: int, mtime_ns: int) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        if size <= _READ_WHOLE:
            return hashlib.file_digest(file, lambda: digest).hexdigest()
        digest.update(f"{size} {mtime_ns} ".encode())
        digest.update(file.read(_MIB))
        file.seek(size - _MIB)
        digest.update(file.read(_MIB))
    return digest.hexdigest()
