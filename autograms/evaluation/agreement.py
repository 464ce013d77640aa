"""Whether a deployed model's conversations are those that the supervisors held, scenario by scenario.

What does not belong here: running conversations, and agreement row by row (``scoring``).
"""

from __future__ import annotations

from collections.abc import Sequence

from autograms.conversation.record import Memory
from autograms.evaluation.metrics import Estimate, estimate

__all__ = ["agreement", "said"]


def said(memory: Memory) -> list[str]:
    """Return what the chatbot said, turn by turn."""
    return [turn["content"] for turn in memory.transcript() if turn["role"] == "assistant" and "tool_calls" not in turn]


def agreement(conversations: Sequence[Memory], supervised: Sequence[Memory], *, seed: int) -> Estimate | None:
    """Return the share of the conversations in which the chatbot said, word for word, what it said under supervision.

    Conversations that failed, or in which the chatbot said nothing, do not agree.

    Args:
        conversations: What was said with a model deployed.
        supervised: What was said in the same scenarios under supervision; scenarios that are not here are left out.
        seed: Seed of the interval.
    """
    expected = {memory.scenario: said(memory) for memory in supervised if memory.status == "completed"}
    compared = [memory for memory in conversations if expected.get(memory.scenario)]
    values = [float(memory.status == "completed" and said(memory) == expected[memory.scenario]) for memory in compared]
    return estimate(values, [memory.scenario for memory in compared], seed=seed)
