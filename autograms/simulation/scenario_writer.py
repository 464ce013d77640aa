"""Scenarios that a model writes from a description and examples: structured, without repeats, with their seeds.

What does not belong here: files (``scenario_files``) and checking rows (``scenarios``).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from autograms.errors import OutputError, ScenarioError
from autograms.models.base import Model, Request, read_output
from autograms.simulation.scenarios import Scenario, scenarios_from_rows

__all__ = ["Commission", "Written", "write_scenarios"]

_BATCH = 10
"""Scenarios that are asked for in one call."""
_FRUITLESS = 3
"""Calls in a row without a new scenario after which the model has no more to say."""
_SHOWN = 20
"""Scenarios that a call is shown so that it writes others."""
_ALIKE = 0.85
"""Share of common words from which two scenarios are the same one."""
_WORD = re.compile(r"\w+")
_SYSTEM = "You write test cases for a chatbot: who the user is, and what the user wants of it. Vary them widely."


@dataclass(frozen=True, slots=True)
class Commission:
    """What scenarios are to be written.

    Attributes:
        description: What the chatbot does, and what its users may want.
        count: How many scenarios.
        fields: Keywords of the userbot that each scenario gives; those of the examples where empty.
        examples: Scenarios to take the fields and the manner from.
        personas: So many different people are written first, and the scenarios are written for each in turn; each has
            the keyword ``persona`` then. 0 for none.
        num_turns: User turns of each scenario.
        user_goes_first: Whether the user speaks first.
        seed: Seed of the calls; each scenario has a seed of its own, made from it.
    """

    description: str
    count: int
    fields: tuple[str, ...] = ()
    examples: tuple[Scenario, ...] = ()
    personas: int = 0
    num_turns: int = 2
    user_goes_first: bool = False
    seed: int = 0

    def keywords(self) -> list[str]:
        """Return the keywords that the model is asked for.

        Raises:
            ScenarioError: Where neither fields nor examples name any.
        """
        named = self.fields or tuple(dict.fromkeys(name for each in self.examples for name in each.user_kwargs))
        if not named:
            raise ScenarioError(
                "which keywords of the userbot a scenario gives is not known; name them (--fields persona,request), or "
                "give examples with user_kwargs"
            )
        return [name for name in named if not (self.personas and name == "persona")]


@dataclass(slots=True)
class Written:
    """What was written.

    Attributes:
        scenarios: The scenarios.
        personas: The people that they were written for.
        calls: Calls of the model.
        repeats: Scenarios that were left out because one like them was there.
    """

    scenarios: list[Scenario] = field(default_factory=list)
    personas: list[str] = field(default_factory=list)
    calls: int = 0
    repeats: int = 0


def write_scenarios(model: Model, commission: Commission) -> Written:
    """Let a model write scenarios.

    It stops before ``count`` where the model only repeats itself.

    Raises:
        ScenarioError: Where nothing says which keywords a scenario gives.
        ModelError: Where the model fails, or writes no valid scenario.
    """
    return asyncio.run(_Writer(model, commission).write())


class _Writer:
    def __init__(self, model: Model, commission: Commission) -> None:
        self.model = model
        self.commission = commission
        self.keywords = commission.keywords()
        self.written = Written()
        self.kept: list[dict[str, Any]] = []
        self.words = [_words(each.user_kwargs) for each in commission.examples]

    async def write(self) -> Written:
        commission, fruitless = self.commission, 0
        try:
            if commission.personas:
                self.written.personas = await self._personas()
            while len(self.kept) < commission.count and fruitless < _FRUITLESS:
                before = len(self.kept)
                try:
                    await self._batch()
                except OutputError:  # paid for, like what is kept so far: one malformed batch ends nothing
                    if not self.kept and fruitless + 1 == _FRUITLESS:
                        raise
                fruitless = fruitless + 1 if len(self.kept) == before else 0
        finally:
            await self.model.close()
        rows = [
            {"num_turns": commission.num_turns, "user_goes_first": commission.user_goes_first, "user_kwargs": kwargs}
            for kwargs in self.kept
        ]
        self.written.scenarios = scenarios_from_rows(rows, seed=commission.seed, where="written scenarios")
        return self.written

    async def _personas(self) -> list[str]:
        found: dict[str, None] = {}
        for _ in range(_FRUITLESS):
            missing = self.commission.personas - len(found)
            if missing <= 0:
                break
            asked = (
                f"Describe {missing} different people who may use this chatbot, each in one sentence: age, occupation, "
                f"mood, way of writing.{self._beside('They differ from these', list(found))}"
            )
            schema = _object({"personas": _list_of({"type": "string"})})
            found.update(dict.fromkeys(text.strip() for text in (await self._ask(asked, schema))["personas"]))
        return list(found)[: self.commission.personas]

    async def _batch(self) -> None:
        people = self.written.personas
        person = people[self.written.calls % len(people)] if people else None
        wanted = min(_BATCH, self.commission.count - len(self.kept))
        asked = f"Write {wanted} scenarios." + (f" The user is this person: {person}" if person else "")
        examples = [json.dumps(each.user_kwargs, ensure_ascii=False) for each in self.commission.examples[:_SHOWN]]
        asked += self._beside("Examples of the manner", examples)
        recent = [json.dumps(kwargs, ensure_ascii=False) for kwargs in self.kept[-_SHOWN:]]
        asked += self._beside("These are written already; write others", recent)
        schema = _object({"scenarios": _list_of(_object({name: {"type": "string"} for name in self.keywords}))})
        for kwargs in (await self._ask(asked, schema))["scenarios"]:
            self._keep({**({"persona": person} if person else {}), **kwargs})

    def _keep(self, kwargs: dict[str, Any]) -> None:
        words = _words(kwargs)
        if any(_alike(words, other) for other in self.words):
            self.written.repeats += 1
        elif len(self.kept) < self.commission.count:
            self.words.append(words)
            self.kept.append(kwargs)

    def _beside(self, title: str, lines: Sequence[str]) -> str:
        return "\n\n" + "\n".join([f"{title}:", *(f"- {line}" for line in lines)]) if lines else ""

    async def _ask(self, asked: str, schema: dict[str, Any]) -> dict[str, Any]:
        shape = json.dumps(schema, separators=(",", ":"))
        text = f"The chatbot: {self.commission.description}\n\n{asked}\n\nAnswer with one JSON object: {shape}"
        request = Request(
            "object",
            [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": text}],
            schema=schema,
            schema_name="scenarios",
            params={"seed": self.commission.seed + self.written.calls},
            check=lambda answer: _follow(schema, answer),
        )
        self.written.calls += 1
        reply = await self.model.complete(request)
        answer: dict[str, Any] = json.loads(read_output(request, reply.text))
        return answer


def _follow(schema: dict[str, Any], answer: str) -> None:
    import jsonschema

    try:
        jsonschema.validate(json.loads(answer), schema)
    except jsonschema.ValidationError as error:
        raise OutputError(f"the written scenarios are not of the form asked for: {error.message[:200]}") from None


def _words(kwargs: dict[str, Any]) -> frozenset[str]:
    text = " ".join(str(value) for name, value in kwargs.items() if name != "persona")
    return frozenset(_WORD.findall(text.casefold()))


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= _ALIKE * len(one | other)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _list_of(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}
