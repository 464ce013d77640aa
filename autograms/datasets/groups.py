"""Which conversations stand on the same side of the split: those of one scenario, and those that share a field.

What belongs here: groups of conversations, joined where they share a value. What does not: which groups are held out
(``split``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from autograms.conversation.record import Memory
from autograms.datasets.split import VALIDATION, group_key, split_groups
from autograms.settings import DatasetSettings

__all__ = ["Groups"]

_MISSING = object()


class Groups:
    """Groups of conversations.

    A conversation without any of the fields that ``group_by`` names stands with those of its scenario. With several
    fields, conversations that share any one of them stand together, and so do those that are linked by others: no
    value of any field is then on both sides.

    Args:
        settings: ``group_by`` and ``hold_out``; fields are paths in a scenario, such as ``user_kwargs.persona``.
    """

    def __init__(self, settings: DatasetSettings) -> None:
        self._fields = settings.group_by
        self._hold_out = {field: {_text(value) for value in values} for field, values in settings.hold_out.items()}
        self._settings = settings
        self._index: dict[str, int] = {}
        self._parent: list[int] = []
        self._held: set[int] = set()
        self._seen_fields: set[str] = set()
        self._seen_values: set[tuple[str, str]] = set()

    def add(self, memory: Memory) -> int:
        """Return the number of the conversation's group; groups may turn out to be one later."""
        scenario = _scenario(memory) if self._fields or self._hold_out else {}
        values = {name: value for name in self._fields if (value := _field(scenario, name)) is not None}
        keys = [f"{name}={value}" for name, value in values.items()]
        self._seen_fields.update(values)
        numbers = [self._number(key) for key in keys or [group_key(memory)]]
        for number in numbers[1:]:
            self._join(numbers[0], number)
        for name, wanted in self._hold_out.items():
            value = _field(scenario, name)
            if value in wanted:
                self._held.add(numbers[0])
                self._seen_values.add((name, value or ""))
        return numbers[0]

    def _number(self, key: str) -> int:
        number = self._index.setdefault(key, len(self._index))
        if number == len(self._parent):
            self._parent.append(number)
        return number

    def _root(self, number: int) -> int:
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number

    def _join(self, one: int, other: int) -> None:
        self._parent[self._root(other)] = self._root(one)

    def held_out(self, paired: Iterable[int]) -> list[bool]:
        """Return for each number whether its conversations are held out.

        Args:
            paired: Numbers of groups with preference pairs.
        """
        names: dict[int, str] = {}
        for key, number in self._index.items():
            root = self._root(number)
            names[root] = min(names.get(root, key), key)
        roots = {self._root(number) for number in paired}
        sides = split_groups(
            {name: root in roots for root, name in names.items()},
            fraction=self._settings.validation_fraction,
            seed=self._settings.split_seed,
            always={names[self._root(number)] for number in self._held},
        )
        return [sides[names[self._root(number)]] == VALIDATION for number in range(len(self._parent))]

    def counts(self, held: list[bool]) -> tuple[int, int]:
        """Return how many groups there are, and how many of them are held out."""
        roots = {self._root(number) for number in range(len(self._parent))}
        return len(roots), sum(held[root] for root in roots)

    def notes(self) -> Iterator[str]:
        """Return what looks like a mistake in ``group_by`` and ``hold_out``."""
        for name in self._fields:
            if name not in self._seen_fields:
                yield f"no scenario has the field {name!r}, which group_by names"
        for name, values in self._hold_out.items():
            for value in sorted(values):
                if (name, value) not in self._seen_values:
                    yield f"no scenario has {value} as {name!r}, which hold_out names"
        if self._fields and len(self._parent) > 1 and self.counts([False] * len(self._parent))[0] == 1:
            yield (
                f"all conversations are linked by {', '.join(self._fields)}, so that none can be held out without the "
                "others: group by fewer fields"
            )


def _scenario(memory: Memory) -> Any:
    try:
        return json.loads(memory.scenario_data or "{}")
    except ValueError:
        return {}


def _field(scenario: Any, name: str) -> str | None:
    value = scenario
    for part in name.split("."):
        value = value.get(part, _MISSING) if isinstance(value, dict) else _MISSING
    return None if value is _MISSING else _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
