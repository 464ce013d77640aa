"""Arrow columns from Python values and back, a column at a time.

What belongs here: the few shapes of column that stored conversations and datasets are made of. What does not: which
columns there are (``table``, ``autograms.datasets.rows``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import Any, TypeVar

import pyarrow as pa

__all__ = ["list_column", "split_list", "split_tuples", "struct_column", "text_column", "text_list_column"]

Item = TypeVar("Item")


def text_column(values: Sequence[str | None]) -> pa.Array:
    """Return a string column. Lone surrogates, which no file format can hold, become U+FFFD."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([value if value is None else _encodable(value) for value in values], pa.string())


def _encodable(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def text_list_column(values: Sequence[Sequence[str]]) -> pa.Array:
    """Return a column of string lists."""
    try:
        return pa.array(values, pa.list_(pa.string()))
    except UnicodeEncodeError:
        return list_column(map(len, values), text_column(list(chain.from_iterable(values))))


def list_column(lengths: Iterable[int], items: pa.Array) -> pa.ListArray:
    """Return a list column whose rows take ``lengths`` of ``items`` in turn."""
    offsets = pa.array(list(accumulate(lengths, initial=0)), pa.int32())
    return pa.ListArray.from_arrays(offsets, items)


def struct_column(shape: pa.StructType, columns: Sequence[pa.Array]) -> pa.StructArray:
    """Return a struct column of ``shape`` from a column for each of its fields, in order."""
    return pa.StructArray.from_arrays(list(columns), fields=list(shape))


def split_list(column: pa.Array, items: Sequence[Item]) -> Iterator[list[Item]]:
    """Deal ``items``, the flattened values of a list column, back out to its rows; a null row is empty."""
    start = 0
    for length in _lengths(column):
        yield list(items[start : start + length])
        start += length


def split_tuples(column: pa.Array, items: Sequence[Item]) -> list[tuple[Item, ...]]:
    """Deal ``items`` back out as :func:`split_list` does, as tuples; most of them are empty, and one object."""
    rows: list[tuple[Item, ...]] = []
    start = 0
    for length in _lengths(column):
        rows.append(tuple(items[start : start + length]) if length else ())
        start += length
    return rows


def _lengths(column: Any) -> list[int]:
    return [length or 0 for length in column.value_lengths().to_pylist()]
