"""Scenarios: what is simulated, one conversation each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograms.errors import ScenarioError, nearest
from autograms.simulation.scenario_files import FIELDS as _KEYS
from autograms.simulation.scenario_files import expand, read_rows

__all__ = ["Scenario", "load_scenarios", "plain_scenarios", "sample_scenarios", "scenarios_from_rows"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One conversation to simulate.

    Attributes:
        key: Hash of the scenario's content, so that it stays the same wherever the scenario stands in its list.
        num_turns: User turns.
        chatbot_kwargs: Keywords of the chatbot's root function.
        user_kwargs: Keywords of the userbot's root function.
        user_goes_first: Whether the user speaks first.
        seed: Seed of the conversation's ``random``.
    """

    key: str
    num_turns: int
    chatbot_kwargs: dict[str, Any] = field(default_factory=dict)
    user_kwargs: dict[str, Any] = field(default_factory=dict)
    user_goes_first: bool = False
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the scenario as a row of a scenario list."""
        return {name: getattr(self, name) for name in _KEYS}


def load_scenarios(
    path: str | Path,
    *,
    num_turns: int = 2,
    seed: int = 0,
    on_bad: Callable[[ScenarioError], None] | None = None,
) -> list[Scenario]:
    """Read a file of scenarios.

    Args:
        path: A ``.json`` file with a list of rows ``{"num_turns": 2, "chatbot_kwargs": {}, "user_kwargs": {},
            "user_goes_first": false, "seed": 1}``, every key optional, or with a grid; the rows of a list may be
            grids too. Or the rows in a ``.jsonl``, ``.csv`` or ``.parquet`` file, see :func:`read_rows`.
        num_turns: User turns of the rows that do not say.
        seed: Seed that the rows' own are made from where they have none.
        on_bad: Told of each wrong row, which is left out then; a wrong row is an error where unset.

    Raises:
        ScenarioError: Where the file is missing or of another form, or a row is wrong: its number and field are named.
    """
    rows = read_rows(Path(path))
    if not rows:
        raise ScenarioError(f"{path}: the list is empty; expected at least one scenario")
    scenarios = scenarios_from_rows(rows, num_turns=num_turns, seed=seed, where=str(path), on_bad=on_bad)
    if not scenarios:
        raise ScenarioError(f"{path}: every row is wrong; expected at least one scenario")
    return scenarios


def plain_scenarios(count: int, *, num_turns: int, seed: int) -> list[Scenario]:
    """Return scenarios that differ in their seeds only.

    Raises:
        ScenarioError: Where ``count`` or ``num_turns`` is less than 1.
    """
    if count < 1:
        raise ScenarioError(f"num_examples is {count}; expected at least 1")
    rows = [{"seed": _seed(seed, str(number))} for number in range(count)]
    return scenarios_from_rows(rows, num_turns=num_turns, seed=seed, where="num_examples")


def scenarios_from_rows(
    rows: Iterable[Any],
    *,
    num_turns: int = 2,
    seed: int = 0,
    where: str = "scenarios",
    on_bad: Callable[[ScenarioError], None] | None = None,
) -> list[Scenario]:
    """Return the scenarios of plain rows; equal rows become scenarios with different seeds.

    Args:
        rows: Rows and grids.
        num_turns: As in :func:`load_scenarios`.
        seed: As in :func:`load_scenarios`.
        where: What messages name.
        on_bad: As in :func:`load_scenarios`.

    Raises:
        ScenarioError: Where a row is wrong: its number and field are named.
    """
    scenarios: list[Scenario] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        try:
            place = f"{where}, scenario {number}"
            checked = [_check(each, place, num_turns) for each in expand(row, place)]
        except ScenarioError as error:
            if on_bad is None:
                raise
            on_bad(error)
            continue
        for each in checked:
            digest = _digest(each)
            again = seen[digest] = seen.get(digest, 0) + 1
            key = digest if again == 1 else f"{digest}-{again}"
            own_seed = each.pop("seed", None)
            scenarios.append(Scenario(key, seed=_seed(seed, key) if own_seed is None else own_seed, **each))
    return scenarios


def sample_scenarios(scenarios: Sequence[Scenario], count: int, *, seed: int = 0) -> list[Scenario]:
    """Return ``count`` of the scenarios, drawn by their keys, so that a longer list changes few of them.

    Args:
        scenarios: The scenarios; all of them where they are not more.
        count: How many, in their own order.
        seed: Another seed draws others.
    """
    drawn = sorted(range(len(scenarios)), key=lambda index: _seed(seed, f"sample/{scenarios[index].key}"))[:count]
    return [scenarios[index] for index in sorted(drawn)]


def _check(row: Any, where: str, num_turns: int) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ScenarioError(f"{where}: expected an object such as {{'num_turns': 2, ...}}, found {row!r}")
    for key in row:
        if key not in _KEYS:
            raise ScenarioError(f"{where}: unknown field {key!r}{nearest(key, _KEYS)} (fields: {', '.join(_KEYS)})")
    checked = {
        "num_turns": row.get("num_turns", num_turns),
        "chatbot_kwargs": row.get("chatbot_kwargs", {}),
        "user_kwargs": row.get("user_kwargs", {}),
        "user_goes_first": row.get("user_goes_first", False),
    }
    turns = checked["num_turns"]
    if isinstance(turns, bool) or not isinstance(turns, int) or turns < 1:
        raise ScenarioError(f"{where}: num_turns is {turns!r}; expected a whole number of at least 1")
    for name in ("chatbot_kwargs", "user_kwargs"):
        if not isinstance(checked[name], dict):
            raise ScenarioError(f"{where}: {name} is {checked[name]!r}; expected an object of keywords")
    if not isinstance(checked["user_goes_first"], bool):
        raise ScenarioError(f"{where}: user_goes_first is {checked['user_goes_first']!r}; expected true or false")
    seed = row.get("seed")
    if seed is not None:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise ScenarioError(f"{where}: seed is {seed!r}; expected a whole number from 0 to 2**63 - 1")
        checked["seed"] = seed
    return checked


def _digest(row: dict[str, Any]) -> str:
    text = json.dumps(row, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _seed(base: int, key: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{base}/{key}".encode(), digest_size=4).digest(), "big")
