"""Primitives as nodes, which carry an ``ADDRESS``: ``from autograms.nodes import *`` in a program.

Here every primitive takes ``ADDRESS=``; this module keeps AutoGRAMS' names for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograms.primitives.control import GOTO, RETURNTO, TRANSITION, location
from autograms.primitives.speech import EXIT, reply, reply_instruction, reply_suffix
from autograms.primitives.thinking import silent_thought, thought

__all__ = [
    "EXIT",
    "GOTO",
    "RETURNTO",
    "TRANSITION",
    "as_node",
    "location",
    "reply",
    "reply_instruction",
    "reply_suffix",
    "silent_thought",
    "thought",
]


def as_node(func: Callable[..., Any], *args: Any, ADDRESS: str | None = None, **kwargs: Any) -> Any:
    """Call a function; the call can carry an ``ADDRESS``."""
    return func(*args, **kwargs)
