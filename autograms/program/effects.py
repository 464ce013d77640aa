"""What a program asks of the world. A primitive hands an effect to the driver and is switched back with the result.

What does not belong here: how effects are performed (``driver``) or what primitives mean (``autograms.primitives``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from greenlet import GreenletExit

from autograms.conversation.record import Call
from autograms.models.base import Request

if TYPE_CHECKING:
    from autograms.program.context import Context

__all__ = ["FINISHED", "RELEASED", "SAID", "AskModel", "Embed", "Inner", "Parallel", "Released", "RunStep"]


class _Mark:
    """A turn's end."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


SAID = _Mark("SAID")
"""The program ended its turn and waits for the user."""
FINISHED = _Mark("FINISHED")
"""The root function returned."""


RELEASED = _Mark("RELEASED")
"""Handed back in the place of a result: nobody goes on with the program, which ends where it stands."""


class Released(GreenletExit):
    """Ends a program that nobody goes on with."""


@dataclass(slots=True)
class AskModel:
    """Answer a request and fill in the call.

    Attributes:
        call: The call.
        request: The request.
        tools: Whether the model may call tools instead of answering.
    """

    call: Call
    request: Request
    tools: bool = False


@dataclass(slots=True)
class Embed:
    """Embed texts."""

    call: Call
    texts: list[str]
    model: str


@dataclass(slots=True)
class RunStep:
    """Run a function off the event loop."""

    call: Call
    function: Callable[[], Any]


@dataclass(slots=True)
class Parallel:
    """Run several programs side by side until each has finished."""

    branches: list[Context]


@dataclass(slots=True)
class Inner:
    """Perform an effect of a program that runs inside this one."""

    context: Context
    effect: Any
