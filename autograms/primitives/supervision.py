"""Supervisors: how they are called, and what is recorded of them.

A supervisor stands in for the answer of one primitive. What the plain primitive would have sent to the model is
recorded as the prompt, since that is what the student learns to answer; what the supervisor does inside is recorded
as nested calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from autograms.conversation.record import Call
from autograms.conversation.tool_calls import DRAFT, TOOL_CALLS
from autograms.errors import DivergenceError, OutputError, RecordError, SupervisorError
from autograms.program.context import Context
from autograms.program.driver import recorded_error

__all__ = ["Supervision", "SupervisorReturn", "recorded_answer", "supervise"]


class SupervisorReturn:
    """A supervisor's output, with what is known of it.

    Args:
        output: What the primitive returns: a text, a bool or "Yes"/"No", an index or a choice's text, or an object.
        score: How good the output is; datasets can select by it.
        rejected_output: An output that is worse, or a list of such: they become preference pairs.
        tags: Texts that datasets can select by.
    """

    def __init__(
        self, output: Any, score: float | None = None, rejected_output: Any = None, tags: Sequence[str] | None = None
    ) -> None:
        self.output = output
        self.score = score
        self.rejected_output = rejected_output
        self.tags = [] if tags is None else [tags] if isinstance(tags, str) else list(tags)


class Supervision:
    """A supervisor and the arguments that its primitive was called with."""

    __slots__ = ("args", "function", "kwargs")

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs

    @property
    def name(self) -> str:
        """The supervisor's name, for the record."""
        return getattr(self.function, "__name__", type(self.function).__name__)


def supervise(
    context: Context, supervision: Supervision, call: Call, index: int, encode: Callable[[Any], str], *, replayed: bool
) -> str:
    """Run a supervisor in place of a call that stands in the journal already, and return its output.

    Args:
        context: The running program.
        supervision: The supervisor and its arguments.
        call: The call, whose output, score, rejected outputs and tags are filled in.
        index: The call's index, the parent of what the supervisor does inside.
        encode: Turns an output into its canonical form; raises :class:`OutputError` for a value of the wrong type.
        replayed: Whether the call was recorded before; the supervisor must come to the same output then.

    Raises:
        SupervisorError: Where the supervisor returned nothing, or a value of the wrong type.
        DivergenceError: Where a replayed supervisor came to another output.
    """
    parent, head, system = context.parent_call, context.head, context.system
    context.parent_call = index
    try:
        returned = supervision.function(*supervision.args, **supervision.kwargs)
        result = returned if isinstance(returned, SupervisorReturn) else SupervisorReturn(returned)
        output = _encoded(encode, result.output, supervision, call, "output")
        score = _score(result.score, supervision)
        rejected = tuple(_rejected(encode, result.rejected_output, supervision, call))
    except Exception as error:
        if not replayed:
            call.error = f"{type(error).__name__}: {error}"
        raise
    finally:
        context.parent_call, context.head, context.system = parent, head, system
    if replayed:
        if output != call.output:
            raise DivergenceError(
                f"the supervisor {supervision.name}() of {call.primitive} at {context.place()} has changed: the memory "
                f"recorded the output {call.output!r}, it now returns {output!r}"
            )
        return output
    call.output = output
    call.score, call.rejected = score, rejected
    call.tags = tuple(str(tag) for tag in result.tags)
    return output


def recorded_answer(context: Context, call: Call, index: int) -> str:
    """Return what the journal holds, past the calls of a supervisor that does not act any more."""
    if call.supervised:
        calls, inside = context.memory.calls, {index}
        while context.replaying and calls[context.next_call].parent in inside:
            inside.add(context.next_call)
            context.next_call += 1
    if call.kind in (TOOL_CALLS, DRAFT):
        context.next_call -= 1
        raise context.halt(call, "the same without tools")
    if call.error is not None:
        raise recorded_error(call.error)
    if call.output is None or (call.kind == "choice" and call.output not in call.choices):
        raise RecordError(f"the saved memory is damaged: no answer of call {index + 1} ({call.primitive})")
    if call.kind in ("object", "logits"):
        call.value()
    return call.output


def _encoded(encode: Callable[[Any], str], value: Any, supervision: Supervision, call: Call, what: str) -> str:
    if value is None:
        raise SupervisorError(
            f"the supervisor {supervision.name}() of {call.primitive} at {call.place} returned nothing; "
            "return the output, or SupervisorReturn(output, ...)"
        )
    try:
        return encode(value)
    except (OutputError, ValueError, TypeError) as error:
        raise SupervisorError(
            f"the supervisor {supervision.name}() of {call.primitive} at {call.place} returned the {what} "
            f"{value!r}: {error}"
        ) from None


def _score(score: Any, supervision: Supervision) -> float | None:
    if score is None:
        return None
    if isinstance(score, bool) or not isinstance(score, (int, float)):
        raise SupervisorError(f"the supervisor {supervision.name}() returned the score {score!r}; expected a number")
    return float(score)


def _rejected(encode: Callable[[Any], str], value: Any, supervision: Supervision, call: Call) -> list[str]:
    """Encode one rejected output or a list of them; a list may be one output of a list-valued primitive."""
    if value is None:
        return []
    if isinstance(value, (list, tuple)):
        try:
            return [encode(value)]
        except (OutputError, ValueError, TypeError):
            return [_encoded(encode, item, supervision, call, "rejected output") for item in value]
    return [_encoded(encode, value, supervision, call, "rejected output")]
