"""Files of scenarios: JSON, JSON Lines, CSV and Parquet, and the grids in them, as plain rows.

What does not belong here: what a row must hold (``scenarios``).
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from autograms.errors import ScenarioError

__all__ = ["FIELDS", "expand", "read_rows"]

FIELDS = ("num_turns", "chatbot_kwargs", "user_kwargs", "user_goes_first", "seed")
_KWARGS = ("chatbot_kwargs", "user_kwargs")
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def read_rows(path: Path) -> list[Any]:
    """Return the rows of a file, unchecked.

    The columns of CSV and Parquet files are the fields of a row, ``user_kwargs.NAME`` and ``chatbot_kwargs.NAME``; any
    other column is a keyword of the userbot. An empty CSV cell says nothing.

    Args:
        path: A ``.json``, ``.jsonl``, ``.csv`` or ``.parquet`` file.

    Raises:
        ScenarioError: Where the file is missing or of another form.
    """
    readers = {".jsonl": _read_lines, ".ndjson": _read_lines, ".csv": _read_csv, ".parquet": _read_parquet}
    try:
        return readers.get(path.suffix.lower(), _read_json)(path)
    except FileNotFoundError:
        raise ScenarioError(f"no scenario list at {path}: expected a JSON file with a list of scenarios") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ScenarioError(f"{path} cannot be read: {error}; expected a list of scenarios") from None


def expand(row: Any, where: str) -> Iterator[Any]:
    """Yield the rows that a row stands for: those of its grid, or the row itself.

    A grid is ``{"grid": {"intent": ["refund", "order"], "chatbot_kwargs.tone": ["warm"]}, "num_turns": 3}``: every
    combination of its lists, with the other fields in all of them.

    Args:
        row: The row, unchecked.
        where: What messages name.

    Raises:
        ScenarioError: Where a grid is no mapping of lists.
    """
    if not isinstance(row, dict) or "grid" not in row:
        yield row
        return
    fixed = {name: value for name, value in row.items() if name != "grid"}
    grid = row["grid"]
    if not isinstance(grid, dict) or not grid:
        raise ScenarioError(
            f"{where}: grid is {grid!r}; expected an object of lists, such as {{'intent': ['refund', 'order']}}"
        )
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise ScenarioError(f"{where}, grid: {name} is {values!r}; expected a list with at least one value")
    for values in itertools.product(*grid.values()):
        yield _nested(dict(zip(grid, values, strict=True)), fixed)


def _nested(flat: dict[str, Any], fixed: dict[str, Any]) -> dict[str, Any]:
    """Put flat names into the row's fields: ``user_kwargs.x`` and ``x`` are keywords of the userbot."""
    row = dict(fixed)
    for name, value in flat.items():
        side, dot, keyword = name.partition(".")
        if name in FIELDS:
            row[name] = value
            continue
        if not dot or side not in _KWARGS:
            side, keyword = "user_kwargs", name
        row[side] = {**row.get(side, {}), keyword: value}
    return row


def _read_json(path: Path) -> list[Any]:
    try:
        data = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ScenarioError(f"{path}: not valid JSON: {error}; expected a list of scenarios") from None
    if isinstance(data, dict) and "grid" not in data and data and all(isinstance(v, list) for v in data.values()):
        data = {"grid": data}
    if isinstance(data, dict) and "grid" in data:
        return [data]
    if not isinstance(data, list):
        raise ScenarioError(
            f"{path}: expected a list of scenarios or a grid such as {{'intent': ['refund', 'order']}}, found a "
            f"{type(data).__name__}"
        )
    return data


def _read_lines(path: Path) -> list[Any]:
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            try:
                rows.append(orjson.loads(line))
            except orjson.JSONDecodeError as error:
                raise ScenarioError(f"{path}, line {number}: not valid JSON: {error}") from None
    return rows


def _read_csv(path: Path) -> list[Any]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, restkey="", strict=True)
        return [_from_cells({name: cell for name, cell in row.items() if cell not in ("", None)}) for row in reader]


def _from_cells(cells: dict[str, Any]) -> Any:
    if "" in cells:
        return f"a row with more cells than columns: {cells['']!r}"
    row = {name: _cell(name, cell) if isinstance(cell, str) else cell for name, cell in cells.items()}
    fixed = {name: row.pop(name) for name in FIELDS if name in row}
    return _nested(row, fixed)


def _cell(name: str, text: str) -> Any:
    """Read the text of a field; what cannot be read stays, and is named when the row is checked."""
    if name == "user_goes_first":
        return _BOOLEANS.get(text.strip().lower(), text)
    if name in FIELDS:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _read_parquet(path: Path) -> list[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise ScenarioError(f"{path} is damaged or no Parquet file: {error}") from None
    return [
        _from_cells({name: _without_nulls(cell) for name, cell in row.items() if cell is not None and name != "key"})
        for row in table.to_pylist()
    ]


def _without_nulls(cell: Any) -> Any:
    """Drop the fields of a struct that only other rows have."""
    return {name: value for name, value in cell.items() if value is not None} if isinstance(cell, dict) else cell
