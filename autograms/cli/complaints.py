"""How a command says what went wrong: one message each on standard error, and an exit status.

What does not belong here: catching what a command raises (``main``).
"""

from __future__ import annotations

import sys

__all__ = ["complain"]


def complain(*problems: object) -> int:
    """Print each problem as an error and return the exit status of a command that met one."""
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 2
