"""Whether keywords fit a program's root function, before it is called with them.

What does not belong here: where the keywords come from, and how a misfit is told to whom.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from autograms.errors import nearest

__all__ = ["misfit"]


def misfit(root: Callable[..., Any], kwargs: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a root function's keywords, and what it takes; ``None`` where they fit.

    Args:
        root: The root function.
        kwargs: The keywords.
    """
    signature = inspect.signature(root)
    try:
        signature.bind(**kwargs)
    except TypeError as error:
        known = signature.parameters
        takes_any = any(each.kind is each.VAR_KEYWORD for each in known.values())
        unknown = None if takes_any else next((name for name in kwargs if name not in known), None)
        wrong = str(error)
        if unknown is not None:
            wrong = f"it has no keyword {unknown!r}{nearest(unknown, [name for name in known if name not in kwargs])}"
        takes = ", ".join(map(str, known.values())) or "none"
        return f"does not fit {getattr(root, '__name__', 'chatbot')}(): {wrong} (it takes {takes})"
    return None
