"""Which recorded calls train.

What belongs here: the filters of :class:`~autograms.settings.DatasetSettings`, each with the reason that a report
shows. What does not: the tag language (``tags``), the split (``split``) and the rows (``rows``).
"""

from __future__ import annotations

from autograms.conversation.record import STUDENT, Call, Memory
from autograms.conversation.tool_calls import DRAFT, TOOL_CALLS
from autograms.datasets.tags import parse_tags
from autograms.settings import DatasetSettings

__all__ = ["Selection"]


class Selection:
    """The calls that settings ask for.

    Args:
        settings: The filters.

    Raises:
        DatasetError: Where the tag query is wrong.
    """

    def __init__(self, settings: DatasetSettings) -> None:
        self.query = parse_tags(settings.tag_query)
        self._statuses = frozenset(settings.statuses)
        self._only = frozenset(settings.primitives)
        self._without = frozenset(settings.exclude_primitives)
        self._min_score = settings.min_score
        self._require_supervisor = settings.require_supervisor

    @property
    def named_primitives(self) -> frozenset[str]:
        """The primitives that the filters name."""
        return self._only | self._without

    def refuses_memory(self, memory: Memory) -> str | None:
        """Return why none of the conversation's calls train, ``None`` where they may."""
        return None if memory.status in self._statuses else f"conversation {memory.status}"

    def refuses(self, call: Call) -> str | None:
        """Return why the call does not train, ``None`` where it does."""
        if not call.trains:
            return _untrained(call)
        if (self._only and call.primitive not in self._only) or call.primitive in self._without:
            return "primitive left out"
        if self._require_supervisor and not call.supervised:
            return "no supervisor"
        if self._min_score is not None and call.score is not None and call.score < self._min_score:
            return f"score below {self._min_score:g}"
        if self.query.text and not self.query.matches(call.tags):
            return "tags do not match"
        return None


def _untrained(call: Call) -> str:
    if call.side == STUDENT:
        called = call.kind == TOOL_CALLS and call.error is None
        return "the student called tools where a supervisor answered: no pair" if called else "the student's own answer"
    if call.side != "chatbot":
        return "userbot's call"
    if call.kind == DRAFT:
        return "a supervisor answered in its place"
    if call.kind not in ("text", "choice", "object", TOOL_CALLS):
        return f"{call.kind}, not a model's answer"
    if call.kind == TOOL_CALLS and call.error is not None:
        return "calls of tools that were refused"
    if call.output is None or call.error is not None:
        return "no answer"
    return "inside a supervisor"
