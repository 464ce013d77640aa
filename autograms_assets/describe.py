"""How the assets present themselves: groups and kinds.

What does not belong here: descriptions, which are the assets' docstrings, and owners (``dagster_project.build``).
"""

from typing import Any

__all__ = ["CONVERSATIONS", "DATASETS", "MODELS", "PROGRAMS", "QUALITY", "described"]

PROGRAMS = "programs"
CONVERSATIONS = "conversations"
DATASETS = "datasets"
MODELS = "models"
QUALITY = "quality"


def described(group: str, *kinds: str) -> dict[str, Any]:
    """Return the keywords of ``@dagster.asset`` for a group and its kinds (icons in the graph)."""
    return {"group_name": group, "kinds": set(kinds)}
