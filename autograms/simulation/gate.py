"""The gate on the userbot: what the program that plays the user did wrong in a conversation.

Findings are the user's faults; the chatbot's failures are the memory's status. They rest on plain signs, so that they
cost nothing and come out the same every time. What does not belong here: what is done about them (``simulator``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from autograms.conversation.record import Memory, Turn
from autograms.simulation.scenarios import Scenario

__all__ = ["FINDINGS", "kind_of", "userbot_findings"]

FINDINGS = ("role flip", "scenario leaked", "goodbye loop", "repeated turn", "early stop", "empty turn")
"""The kinds of findings; a finding is ``KIND (turn NUMBER)``, user turns counted from 1."""

_LEAKED_WORDS = 8
"""Words in a row, taken from the scenario, that nobody says by chance."""
_REPEATED_WORDS = 4
"""Words from which a turn is worth calling a repetition: people say "yes please" twice."""
_WORD = re.compile(r"\w+")
_ASSISTANT = re.compile(
    r"^\s*(assistant|agent|chatbot|support agent)\s*:"
    r"|\bas an ai\b|\bi am an ai\b|\bi'm an ai\b|\bi am a language model\b|\bi'm a language model\b"
    r"|\b(how|what) (can|may) i (help|assist|do for) you\b"
    r"|\bis there anything else (i can|you need|you'd like)\b"
    r"|\b(thank you|thanks) for (contacting|reaching out)\b"
    r"|\bi('m| am) here to (help|assist)\b",
    re.IGNORECASE,
)
_GOODBYE = re.compile(
    r"\b(good\s?bye|bye|see you|farewell|take care"
    r"|have a (great|good|nice|lovely|wonderful) (day|evening|one|weekend))\b",
    re.IGNORECASE,
)


def userbot_findings(memory: Memory, scenario: Scenario) -> list[str]:
    """Return what the user's program did wrong in a conversation.

    Only what a model wrote for the user can leak the scenario; what the program itself says was put there to be said.

    Args:
        memory: The conversation.
        scenario: What was simulated.
    """
    turns = [turn for turn in memory.turns if turn.role in ("user", "assistant")]
    said = [turn.content for turn in turns if turn.role == "user" and turn.content is not None]
    written = {call.output for call in memory.calls if call.side == "user" and call.kind == "text"}
    secrets = [words for text in _texts(scenario.user_kwargs) if len(words := _words(text)) >= _LEAKED_WORDS]
    findings = []
    for number, text in enumerate(said, 1):
        for kind, found in (
            ("role flip", _flips(text, turns)),
            ("scenario leaked", text in written and any(_shares_a_run(_words(text), secret) for secret in secrets)),
            ("goodbye loop", number > 1 and bool(_GOODBYE.search(text) and _GOODBYE.search(said[number - 2]))),
            ("repeated turn", _repeats(text, said[: number - 1])),
            ("empty turn", not text.strip()),
        ):
            if found:
                findings.append(f"{kind} (turn {number})")
    if _stopped_early(memory, turns, len(said), scenario):
        findings.append(f"early stop (turn {len(said) + 1})")
    return findings


def kind_of(finding: str) -> str:
    """Return the kind of a finding."""
    return finding.partition(" (")[0]


def _flips(text: str, turns: list[Turn]) -> bool:
    echoed = len(_words(text)) >= _REPEATED_WORDS and any(
        turn.role == "assistant" and turn.content == text for turn in turns
    )
    return echoed or bool(_ASSISTANT.search(text))


def _repeats(text: str, earlier: list[str]) -> bool:
    words = _words(text)
    return len(words) >= _REPEATED_WORDS and any(_words(other) == words for other in earlier)


def _stopped_early(memory: Memory, turns: list[Turn], said: int, scenario: Scenario) -> bool:
    """Whether the user's program ended while the chatbot still talked and turns were left."""
    if memory.status != "completed" or said >= scenario.num_turns:
        return False
    return not turns or (turns[-1].role == "assistant" and turns[-1].content is not None)


def _shares_a_run(said: list[str], secret: list[str]) -> bool:
    runs = {tuple(secret[start : start + _LEAKED_WORDS]) for start in range(len(secret) - _LEAKED_WORDS + 1)}
    return any(tuple(said[start : start + _LEAKED_WORDS]) in runs for start in range(len(said) - _LEAKED_WORDS + 1))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
