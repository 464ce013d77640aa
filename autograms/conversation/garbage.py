"""Keeping Python's garbage collector off records: they hold no cycles, and there are many of them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collecting_seldom"]


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Collect cycles seldom while many records are made or read, which the collector walks again and again for nothing.

    Memory is given back as usual: records go when nobody refers to them any more.
    """
    usual = gc.get_threshold()
    gc.set_threshold(250_000, 50, 50)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
