"""Queries over the tags that supervisors give: ``formal & !(draft | "needs review")``.

What belongs here: the language of such queries. What does not: the other filters (``select``).

    any      = all { "|" all }
    all      = not { "&" not }
    not      = "!" not | "(" any ")" | tag
    tag      = text without & | ! ( ) ", spaces inside allowed; or any text in "..." or '...'

``!`` binds closest, then ``&``, then ``|``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from autograms.errors import DatasetError

__all__ = ["TagQuery", "parse_tags"]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<operator>[&|!()])
      | "(?P<double>[^"]*)"
      | '(?P<single>[^']*)'
      | (?P<open>["'])
      | (?P<bare>[^&|!()"]+)
    )""",
    re.VERBOSE,
)
_MAX_DEPTH = 100

Test = Callable[[Collection[str]], bool]


@dataclass(frozen=True, slots=True)
class TagQuery:
    """A parsed query.

    Attributes:
        text: The query as it was written; empty for one that everything matches.
        tags: The tags it names.
    """

    text: str
    tags: frozenset[str]
    _test: Test

    def matches(self, tags: Collection[str]) -> bool:
        """Whether a call with these tags is wanted."""
        return self._test(tags)


def parse_tags(text: str) -> TagQuery:
    """Parse a tag query.

    Raises:
        DatasetError: Where the query is wrong; the message shows the place.
    """
    if not text.strip():
        return TagQuery("", frozenset(), lambda tags: True)
    parser = _Parser(text)
    test = parser.any(0)
    if parser.kind is not None:
        parser.fail("expected & or | here" if parser.kind != ")" else "this ) closes nothing")
    return TagQuery(text, frozenset(parser.tags), test)


class _Parser:
    """Reads one token ahead: ``kind`` is ``tag``, an operator, or ``None`` at the end."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tags: set[str] = set()
        self.end = 0
        self.advance()

    def advance(self) -> None:
        found = _TOKEN.match(self.text, self.end)
        if found is None:
            self.kind, self.value, self.start = None, "", len(self.text.rstrip())
            return
        group = found.lastgroup or ""
        self.start, self.end = found.start(group), found.end()
        self.value = found.group(group)
        self.kind = self.value if group == "operator" else "tag"
        if group in ("single", "double", "open"):
            self.start = found.end() - len(found.group().lstrip())
        if group == "open":
            self.fail("this quote is not closed")
        if group == "bare":
            self.value = self.value.strip()
            self.kind = "tag" if self.value else None

    def fail(self, problem: str) -> None:
        raise DatasetError(
            f"tag query: {problem} (position {self.start + 1})\n    {self.text}\n    {' ' * self.start}^\n"
            'expected tags joined by &, |, ! and parentheses, as in: formal & !(draft | "needs review")'
        )

    def any(self, depth: int) -> Test:
        tests = [self.all(depth)]
        while self.kind == "|":
            self.advance()
            tests.append(self.all(depth))
        return tests[0] if len(tests) == 1 else lambda tags: any(test(tags) for test in tests)

    def all(self, depth: int) -> Test:
        tests = [self.one(depth)]
        while self.kind == "&":
            self.advance()
            tests.append(self.one(depth))
        return tests[0] if len(tests) == 1 else lambda tags: all(test(tags) for test in tests)

    def one(self, depth: int) -> Test:
        if depth > _MAX_DEPTH:
            self.fail(f"more than {_MAX_DEPTH} levels")
        if self.kind == "!":
            self.advance()
            test = self.one(depth + 1)
            return lambda tags: not test(tags)
        if self.kind == "(":
            return self._group(depth)
        if self.kind != "tag":
            self.fail("expected a tag here" if self.kind else "expected a tag, but the query ends")
        tag = self.value
        self.tags.add(tag)
        self.advance()
        return lambda tags: tag in tags

    def _group(self, depth: int) -> Test:
        opened = self.start
        self.advance()
        test = self.any(depth + 1)
        if self.kind is None:
            self.start = opened
            self.fail("this ( is not closed")
        if self.kind != ")":
            self.fail("expected &, | or ) here")
        self.advance()
        return test
