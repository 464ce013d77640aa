"""Control: jumps between addresses, and recorded steps."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NoReturn

from autograms import errors
from autograms.conversation.record import NONE, Call, Prompt
from autograms.errors import AddressError, ProgramError, nearest
from autograms.primitives.asking import ALL, primitive
from autograms.primitives.deciding import decide, yes_or_no
from autograms.program.context import Context, current
from autograms.program.destinations import known_addresses, leads_back, leads_within
from autograms.program.driver import plain, prepare
from autograms.program.effects import Parallel, RunStep
from autograms.program.jumps import Jump

__all__ = ["GOTO", "RETURNTO", "TRANSITION", "location", "parallel_wrapper", "step"]


@leads_within
def GOTO(destination: str, **ignored: Any) -> NoReturn:
    """Jump to an address in the same function; its locals stay.

    Raises:
        AddressError: Where the function has no such address.
        SupervisorError: Inside a supervisor.
    """
    context = current()
    context.refuse_inside("GOTO")
    if not context.frames:
        raise AddressError(f"{context.place()}: GOTO({destination!r}) outside an @autograms_function")
    frame = context.frames[-1]
    if destination not in frame.addresses:
        raise _unknown(context, "GOTO", destination, f"{frame.name}()", frame.addresses)
    raise Jump(frame, destination)


@leads_back
def RETURNTO(destination: str, **ignored: Any) -> NoReturn:
    """Return to the nearest calling function that has the address; its locals are as it left them.

    Raises:
        AddressError: Where no caller has the address.
        SupervisorError: Inside a supervisor.
    """
    context = current()
    context.refuse_inside("RETURNTO")
    for frame in reversed(context.frames[:-1]):
        if destination in frame.addresses:
            raise Jump(frame, destination)
    known = {address for frame in context.frames[:-1] for address in frame.addresses}
    raise _unknown(context, "RETURNTO", destination, "the callers", known)


def _unknown(context: Context, word: str, address: str, where: str, known: Any) -> AddressError:
    listing = known_addresses(where, frozenset(known))
    return AddressError(f"{context.place()}: {word}({address!r}): no such address{nearest(address, known)} ({listing})")


@leads_within
@primitive
def TRANSITION(
    transition_question: str, transitions: Mapping[str, str], max_turns: int | None = ALL, **options: Any
) -> NoReturn:
    """Let the model choose where to go, and jump there.

    Args:
        transition_question: The question.
        transitions: Answers and the addresses that they lead to; ``yes`` and ``no``, in any case, ask as
            ``yes_or_no`` does.
        max_turns: As in ``multiple_choice``.
        **options: ``supervisor``, ``supervisor_kwargs``, and any keyword of the chat API.
    """
    answers = list(transitions)
    supervision = options.get("_supervision")
    if supervision is not None:
        supervision.function = _adapted(supervision.function, transition_question, answers)
    if sorted(answer.lower() for answer in answers) == ["no", "yes"]:
        agreed = yes_or_no.__wrapped__(transition_question, max_turns, **options)  # type: ignore[attr-defined]
        answer = next(answer for answer in answers if (answer.lower() == "yes") == agreed)
    elif len(answers) == 1:
        answer = answers[0]
    else:
        answer = decide("TRANSITION", transition_question, answers, max_turns, options)
    destination = transitions[answer]
    if destination.startswith("returnto "):
        RETURNTO(destination.removeprefix("returnto ").strip())
    GOTO(destination)


def _adapted(supervisor: Callable[..., Any], question: str, answers: list[str]) -> Callable[..., Any]:
    """Call a transition's supervisor with the transition, or as that of the choice it is, as it was written for."""

    @functools.wraps(supervisor)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            inspect.signature(supervisor).bind(*args, **kwargs)
        except TypeError:
            return supervisor(question=question, choices=answers, **kwargs)
        return supervisor(*args, **kwargs)

    return call


def location(**ignored: Any) -> None:
    """Do nothing: a place to carry an ``ADDRESS``."""


def step(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a function whose result must not be computed twice, off the event loop, and record its result.

    Args:
        function: A booking, the clock, a look at the outside world; any Python function, ``async`` or not.
        *args: Its arguments.
        **kwargs: Its keywords.

    Returns:
        The result as plain data: a resumed program gets the recorded one.

    Raises:
        ProgramError: Where the result is no plain data.
    """
    context = current()
    name = getattr(function, "__qualname__", type(function).__name__)
    if context.replaying:
        call = context.recorded("step", name)
        if call.error is not None:
            raise _same_error(*call.error.partition(": ")[::2], function)
        return call.value()
    prompt = Prompt(NONE, NONE, NONE, context.intern("step", name))
    call = Call("step", "step", prompt, None, context.side, place=context.place(), parent=context.parent_call)
    context.begin(call)
    try:
        result = context.switch(RunStep(call, functools.partial(function, *args, **kwargs)))
        call.output = plain(result, f"the result of step({name})")
    except Exception as error:
        made, call.error = _recordable(error, function)
        raise made from error
    return call.value()


def _recordable(error: Exception, function: Callable[..., Any]) -> tuple[Exception, str]:
    """Return an error as a resumed program will meet it, and as the journal holds it.

    That is the error itself where its class is found by its name from the step's function and takes one message, and
    else the nearest class above of which that holds.
    """
    message = error.args[0] if len(error.args) == 1 and isinstance(error.args[0], str) else str(error)
    for kind in type(error).__mro__:
        made = _same_error(kind.__name__, message, function)
        if type(made) is kind:
            return made, f"{kind.__name__}: {message}"
    return ProgramError(message), f"ProgramError: {message}"


def _same_error(name: str, message: str, function: Callable[..., Any]) -> Exception:
    """Return an error by its class's name, a ``ProgramError`` where the name is not known."""
    import builtins

    names = getattr(inspect.unwrap(function), "__globals__", {})
    modules = [vars(builtins), vars(errors), names, *(vars(m) for m in names.values() if isinstance(m, ModuleType))]
    for module in modules:
        kind = module.get(name)
        if isinstance(kind, type) and issubclass(kind, Exception):
            try:
                return kind(message)
            except TypeError:
                break
    return ProgramError(message)


def parallel_wrapper(
    function: Callable[..., Any], arg_list: Sequence[Mapping[str, Any]], mem_list: Any = None, **ignored: Any
) -> list[Any]:
    """Run a function several times at once, each with keywords of its own, and return the results in order.

    Each run sees the history and the user globals as they are now; what it adds or sets is its own, and goes with it.

    Args:
        function: The function; it may use every primitive but those that end the turn.
        arg_list: Keywords for each run.
        mem_list: Not supported: runs have no memories of their own.
        **ignored: AutoGRAMS' ``with_autograms_memory``, which has no counterpart here.

    Raises:
        ProgramError: Where ``mem_list`` is given, or a run ends the turn.
    """
    if mem_list is not None:
        raise ProgramError("parallel_wrapper(mem_list=...) is not supported: every run sees the conversation's memory")
    context = current()
    context.parallels += 1
    outcomes = [_Outcome() for _ in arg_list]
    if context.behind or context.greenlet is None:
        for number, kwargs in enumerate(arg_list):
            _branch_again(context, number, outcomes[number], function, kwargs)
    else:
        branches = [
            _branch(context.fork(number), outcomes[number], function, kwargs) for number, kwargs in enumerate(arg_list)
        ]
        messages, nodes = len(context.memory.messages), len(context.memory.history)
        context.switch(Parallel(branches))
        _join(context, messages, nodes, branches)
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    return [outcome.result for outcome in outcomes]


class _Outcome:
    """What came of one branch. Every branch comes to its end before an error goes on, so that a replay meets it too."""

    __slots__ = ("error", "result")

    def __init__(self) -> None:
        self.result: Any = None
        self.error: Exception | None = None

    def of(self, function: Callable[..., Any], kwargs: Mapping[str, Any]) -> None:
        """Run the branch's function."""
        try:
            self.result = function(**kwargs)
        except Exception as error:
            self.error = error


def _branch(fork: Context, outcome: _Outcome, function: Callable[..., Any], kwargs: Mapping[str, Any]) -> Context:
    prepare(fork, lambda: outcome.of(function, kwargs), {})
    return fork


def _branch_again(
    context: Context, number: int, outcome: _Outcome, function: Callable[..., Any], kwargs: Mapping[str, Any]
) -> None:
    """Replay one branch in place: its calls stand in the journal one branch after the other."""
    kept = context.head, context.system, context.branch, context.rng, context.frames, context.parallels
    outer = context.globals
    context.branch, context.rng, context.frames, context.parallels = context.branch_name(number), None, [], 0
    context.globals = copy.deepcopy(outer)
    try:
        outcome.of(function, kwargs)
    finally:
        context.head, context.system, context.branch, context.rng, context.frames, context.parallels = kept
        context.globals = outer


def _join(context: Context, messages: int, nodes: int, branches: list[Context]) -> None:
    """Append the branches' calls to the journal, one branch after the other."""
    if context.touched is None:
        context.settle(messages, nodes, branches)
    for branch in branches:
        offset = len(context.memory.calls)
        if context.touched is not None and branch.touched is not None:
            for kept, more in zip(context.touched, branch.touched, strict=True):
                kept += more
        for call in branch.memory.calls:
            call.parent = context.parent_call if call.parent is None else call.parent + offset
            context.memory.calls.append(call)
            context.next_call += 1
            context.turn_calls += 1
