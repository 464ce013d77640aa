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

__all__ = ["FINDINGS", "userbot_findings"]

FINDINGS = ("role flip", "scenario leaked", "goodbye loop", "repeated turn", "early stop", "empty turn")
"""The kinds of findings; a finding is ``KIND (turn NUMBER)``, user turns counted from 1."""

_LEAKED_WORDS = 8
"""Words in a row, taken from the scenario, that nobody says by chance."""
_REPEATED_WORDS = 4
"""Words from which a turn is worth calling a repetition: people say "yes please" twice."""
_WORD = re.compile(r"\w+")
_PUNCTUATION = str.maketrans("", "", ".,;:!?\"'()")
_ASSISTANT = re.compile(
    r"^\s*(assistant|agent|chatbot|support agent)\s*:"
    r"|\b(as|i am|i'm) an ai\b|\b(i am|i'm) a language model\b"
    r"|\b(how|what) (can|may) i (help|assist|do for) you\b"
    r"|\bis there anything else (i can|you need|you'd like)\b"
    r"|\b(thank you|thanks) for (contacting|reaching out)\b"
    r"|\bi( am|'m) here to (help|assist)\b"
)
_ASSISTANT_SIGNS = (
    ":",
    "an ai",
    "language model",
    "i help",
    "i assist",
    "i do for",
    "anything else",
    "thank",
    "here to",
)
"""One of these stands in whatever the pattern finds; looking for them is cheap."""
_GOODBYE = re.compile(
    r"\b(good\s?bye|bye|see you|farewell|take care"
    r"|have a (great|good|nice|lovely|wonderful) (day|evening|one|weekend))\b"
)


def userbot_findings(memory: Memory, scenario: Scenario) -> list[str]:
    """Return what the user's program did wrong in a conversation.

    Only what a model wrote for the user can leak the scenario; what the program itself says was put there to be said.

    Args:
        memory: The conversation.
        scenario: What was simulated.
    """
    turns = [turn for turn in memory.turns if turn.role in ("user", "assistant")]
    said = [turn.content.casefold() for turn in turns if turn.role == "user" and turn.content is not None]
    answers = {turn.content.casefold() for turn in turns if turn.role == "assistant" and turn.content}
    written = {call.output.casefold() for call in memory.calls if call.side == "user" and call.output is not None}
    secrets = _secrets(scenario) if written else set()
    findings: list[str] = []
    plain: list[str] = []
    for number, text in enumerate(said, 1):
        bare = text.translate(_PUNCTUATION)
        many = bare.count(" ") >= _REPEATED_WORDS - 1
        for kind, found in (
            ("role flip", _speaks_as_the_assistant(text) or (many and text in answers)),
            ("scenario leaked", bool(secrets) and text in written and _leaks(text, secrets)),
            ("goodbye loop", number > 1 and bool(_GOODBYE.search(text) and _GOODBYE.search(said[number - 2]))),
            ("repeated turn", many and bare in plain),
            ("empty turn", not text.strip()),
        ):
            if found:
                findings.append(f"{kind} (turn {number})")
        plain.append(bare)
    if _stopped_early(memory, turns, len(said), scenario):
        findings.append(f"early stop (turn {len(said) + 1})")
    return findings


def _speaks_as_the_assistant(text: str) -> bool:
    return any(sign in text for sign in _ASSISTANT_SIGNS) and bool(_ASSISTANT.search(text))


def _stopped_early(memory: Memory, turns: list[Turn], said: int, scenario: Scenario) -> bool:
    """Whether the user's program ended while the chatbot still talked and turns were left."""
    if memory.status != "completed" or said >= scenario.num_turns:
        return False
    return not turns or (turns[-1].role == "assistant" and turns[-1].content is not None)


def _secrets(scenario: Scenario) -> set[tuple[str, ...]]:
    return {run for text in _texts(scenario.user_kwargs) for run in _runs(text.casefold())}


def _leaks(text: str, secrets: set[tuple[str, ...]]) -> bool:
    return any(run in secrets for run in _runs(text))


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    words = _WORD.findall(text)
    return zip(*(words[start:] for start in range(_LEAKED_WORDS)), strict=False)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
