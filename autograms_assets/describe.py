"""How the assets present themselves: groups, kinds, owners, tags.

What does not belong here: descriptions, which are the assets' docstrings.
"""

from typing import Any

__all__ = ["CONVERSATIONS", "DATASETS", "MODELS", "OWNERS", "PROGRAMS", "QUALITY", "described"]

PROGRAMS = "programs"
CONVERSATIONS = "conversations"
DATASETS = "datasets"
MODELS = "models"
QUALITY = "quality"
OWNERS = ["team:autograms"]


def described(group: str, *kinds: str, **tags: str) -> dict[str, Any]:
    """Return the keywords of ``@dagster.asset`` for a group, its kinds (icons in the graph) and tags."""
    return {"group_name": group, "kinds": set(kinds), "owners": OWNERS, "tags": {"domain": "autograms", **tags}}
