"""Other people's texts in Markdown: what models, users and programs said is shown as it is, and nothing is fetched.

What does not belong here: pages in HTML (``autograms.evaluation.comparison``), and what is told.
"""

from __future__ import annotations

import re

__all__ = ["cell", "code", "fenced", "quoted"]

_MARKUP = re.compile(r"([\\`*\[\]!<>|#~&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
"""Underscores inside of words mean nothing in Markdown, and stay."""
_SHOWN = frozenset("\n\r\t\u200c\u200d")
_FENCE = re.compile(r"`{3,}")


def quoted(text: object, longest: int | None = None) -> str:
    """Return a text so that Markdown shows it as it is: no picture is fetched for it, and no tag is made of it.

    Args:
        text: The text.
        longest: Characters after which it is cut.
    """
    whole = str(text)
    short = whole if longest is None or len(whole) <= longest else f"{whole[:longest]} ..."
    shown = "".join(letter if letter.isprintable() or letter in _SHOWN else "\ufffd" for letter in short)
    return _MARKUP.sub(r"\\\1", shown)


def cell(text: object, longest: int | None = None) -> str:
    """Return a text as one cell of a table, its lines below one another."""
    return "<br>".join(quoted(text, longest).strip().splitlines())


def code(text: object) -> str:
    """Return a short text, such as a name or a place, as code outside of a table."""
    return f"`{' '.join(str(text).replace('`', chr(39)).split())}`"


def fenced(text: str, language: str = "") -> str:
    """Return a text as a block of code, which nothing in it can end."""
    fence = "`" * max([3, *(len(found) + 1 for found in _FENCE.findall(text))])
    return f"{fence}{language}\n{text}\n{fence}"
