"""Pictures inside of metadata: a PNG file as Markdown that Dagster's UI shows in place.

What does not belong here: drawing (``autograms.evaluation.plots``).
"""

import base64
from pathlib import Path

__all__ = ["inline_png"]


def inline_png(path: Path, title: str) -> dict[str, str]:
    """Return a picture as a summary's Markdown value.

    Args:
        path: The PNG file.
        title: What is read out where the picture cannot be seen.
    """
    return {"md": f"![{title}](data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()})"}
