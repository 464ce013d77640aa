"""The decorators of the language: scopes, frames, and the rewriting of functions that carry addresses."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, TypeVar

from autograms.conversation.record import NONE
from autograms.errors import ProgramError
from autograms.program.context import Context, current_or_none
from autograms.program.destinations import refuse_unknown
from autograms.program.jumps import Frame
from autograms.program.rewrite import carries_addresses, rewrite

__all__ = ["autograms_chatbot", "autograms_external", "autograms_function", "autograms_node", "refuse_suspending"]

_F = TypeVar("_F", bound=Callable[..., Any])
_SCOPES = ("global", "normal", "local")


def autograms_function(conv_scope: Any = "global", **ignored: Any) -> Any:
    """Make a function part of the program: it may suspend, has a scope, and can be jumped in.

    Args:
        conv_scope: ``"global"``: it sees the caller's history, and its turns stay. ``"normal"``: it sees them, and its
            turns go when it returns. ``"local"``: it starts empty, and its turns go.
        **ignored: AutoGRAMS' options about recompiling, which have no counterpart here.

    Raises:
        ProgramError: For an unknown scope, an ``async def`` function, or addresses that cannot be.
    """
    if callable(conv_scope):
        return _decorate(conv_scope, "global")
    if conv_scope not in _SCOPES:
        raise ProgramError(f"conv_scope={conv_scope!r}: expected one of {', '.join(map(repr, _SCOPES))}")
    return functools.partial(_decorate, conv_scope=conv_scope)


def autograms_chatbot(conv_scope: Any = "global", **ignored: Any) -> Any:
    """Mark a root function; the same as :func:`autograms_function`."""
    return autograms_function(conv_scope, **ignored)


def autograms_node(function: _F) -> _F:
    """Let a function be called with ``ADDRESS=``, so that jumps can reach the call."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "ADDRESS" in kwargs and not _takes_address(function):
            del kwargs["ADDRESS"]
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]


def autograms_external(function: Any = None) -> Any:
    """Mark a function that ``Autogram.apply(function=...)`` runs in a conversation from outside."""
    return (lambda inner: inner) if function is None else function


def refuse_suspending(function: Callable[..., Any]) -> None:
    """Refuse a root function that would not run when it is called.

    Raises:
        ProgramError: For an ``async def`` or a function that yields.
    """
    plain = inspect.unwrap(function)
    if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
        what = "is an 'async def'"
    elif inspect.isgeneratorfunction(plain):
        what = "is a generator (it has a 'yield')"
    else:
        return
    code = plain.__code__
    raise ProgramError(
        f"{code.co_filename}:{code.co_firstlineno}: {plain.__name__}() {what}; programs are plain functions ('def'), "
        "and thousands of them run at once as they are"
    )


def _takes_address(function: Callable[..., Any]) -> bool:
    return "ADDRESS" in inspect.signature(function).parameters


def _decorate(function: Any, conv_scope: str) -> Any:
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(_decorate(function.__func__, conv_scope))
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        refuse_suspending(function)
    if not isinstance(function, types.FunctionType):
        raise ProgramError(f"@autograms_function stands over {function!r}; it goes over a function ('def')")
    if inspect.isgeneratorfunction(function) and conv_scope != "global":
        where = f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"
        raise ProgramError(
            f"{where}: {function.__name__}() is a generator, "
            f'which has no scope of its own; leave conv_scope="{conv_scope}" to the function that runs it'
        )
    body, addresses = function, frozenset[str]()
    if carries_addresses(function):
        body, addresses = rewrite(function, _enter)
    refuse_unknown(function, addresses)
    code = body.__code__

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("ADDRESS", None)
        context = current_or_none()
        if context is None:
            return body(*args, **kwargs)
        frames, system, head = context.frames, context.system, context.head
        depth = len(frames)
        frames.append(Frame(code.co_name, addresses))
        if conv_scope == "local":
            context.head = NONE
        try:
            return body(*args, **kwargs)
        finally:
            del frames[depth:]
            context.system = system
            if conv_scope != "global":
                context.head = head

    return call


def _enter() -> tuple[Frame, str | None]:
    """Return the frame of the function that starts, and the address to start at where a resume asks for one."""
    context = current_or_none()
    if context is None:
        return Frame("", frozenset()), None
    frame = context.frames[-1]
    return frame, _start_address(context, frame)


def _start_address(context: Context, frame: Frame) -> str | None:
    path = context.address_path
    if not path or path[0] not in frame.addresses:
        return None
    address = path.pop(0)
    if not path:
        context.address_path = None
        frame.arriving = True
    return address
