"""How the assets present themselves: groups and kinds, and other people's texts in Markdown.

What does not belong here: descriptions, which are the assets' docstrings, and owners (``dagster_project.build``).
"""

import re
from typing import Any

__all__ = ["CONVERSATIONS", "DATASETS", "MODELS", "PROGRAMS", "QUALITY", "described", "quoted"]

PROGRAMS = "programs"
CONVERSATIONS = "conversations"
DATASETS = "datasets"
MODELS = "models"
QUALITY = "quality"


def described(group: str, *kinds: str) -> dict[str, Any]:
    """Return the keywords of ``@dagster.asset`` for a group and its kinds (icons in the graph)."""
    return {"group_name": group, "kinds": set(kinds)}


_MARKUP = re.compile(r"([\\`*_\[\]!<>|#~])")


def quoted(text: object) -> str:
    """Return a text that a model or a user wrote so that Markdown shows it as it is: no picture is fetched for it."""
    return _MARKUP.sub(r"\\\1", str(text))
