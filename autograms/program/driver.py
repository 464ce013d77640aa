"""Runs programs: enters them, performs the effects they hand out, and switches back with the results.

Programs are plain synchronous functions in greenlets. :func:`drive` performs their effects by ``await``, so that one
event loop drives thousands of programs. What does not belong here: driving where there is no event loop (``outside``).
"""

from __future__ import annotations

import builtins
import inspect
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
from greenlet import getcurrent

from autograms import errors
from autograms.conversation.record import Call
from autograms.conversation.tool_calls import TOOL_CALLS, tool_calls_output
from autograms.errors import DivergenceError, OutputError, ProgramError, RunawayError, StorageError
from autograms.models.base import Model, Reply, Request, read_output
from autograms.models.tool_calls import WRITTEN
from autograms.program.context import Caller, Context
from autograms.program.effects import FINISHED, SAID, AskModel, Embed, Inner, Parallel, RunStep
from autograms.program.greenlets import begin, free
from autograms.program.off_loop import off_loop
from autograms.program.side_by_side import side_by_side
from autograms.program.watchdog import Halt, guarded

__all__ = [
    "ask_model",
    "drive",
    "embed_texts",
    "perform",
    "plain",
    "prepare",
    "recorded_error",
    "resume",
    "run_step",
    "throw",
]


# --------------------------------------------------------------------------------------------- entering a program


def prepare(context: Context, root: Callable[..., Any], kwargs: dict[str, Any]) -> None:
    """Put a program in its context; the first :func:`resume` begins it."""

    def run() -> None:
        try:
            root(**kwargs)
        except SystemExit as error:
            message = "the program called exit(); it ends by returning from its root function"
            raise ProgramError(message).with_traceback(error.__traceback__) from None
        except StopIteration as error:  # an event loop would take it for its own
            message = "a StopIteration left the program: next() was called on an iterator at its end"
            raise ProgramError(message).with_traceback(error.__traceback__) from None

    context.greenlet = program = begin(run)
    program.context = context


def resume(context: Context, *value: Any) -> Any:
    """Switch to a program with the result of its last effect; return its next effect."""
    assert context.greenlet is not None
    return _enter(context, context.greenlet.switch, *value)


def throw(context: Context, error: Exception) -> Any:
    """Raise an error at the program's last effect; return its next effect."""
    assert context.greenlet is not None
    ends = isinstance(error, (DivergenceError, RunawayError, StorageError))
    return _enter(context, context.greenlet.throw, Halt(error) if ends else error)


def _enter(context: Context, switch: Callable[..., Any], *value: Any) -> Any:
    outer = context.driver
    context.driver = context.greenlet.parent = getcurrent()  # type: ignore[union-attr]
    try:
        effect = guarded(switch, context.config.watchdog_seconds, *value)
    finally:
        context.driver = outer
    if effect is FINISHED:
        free(context.greenlet)  # type: ignore[arg-type]
        context.greenlet = None
    if context.halted is not None:
        raise context.halted
    return effect


# ----------------------------------------------------------------------------------------------- performing effects


async def drive(context: Context, effect: Any) -> Any:
    """Perform a program's effects until its turn ends; return ``SAID`` or ``FINISHED``."""
    while effect is not SAID and effect is not FINISHED:
        try:
            result = await (_answer(context, effect) if type(effect) is AskModel else perform(context, effect))
        except Exception as error:
            effect = throw(context, error)
        else:
            effect = resume(context, result)
    return effect


async def perform(context: Context, effect: Any) -> Any:
    """Perform one effect and return its result."""
    if type(effect) is AskModel:
        return await _answer(context, effect)
    if type(effect) is Parallel:
        return await _run_branches(effect.branches, context.caller)
    if type(effect) is RunStep:
        step = context.caller.step if context.caller is not None else run_step
        return await step(context, effect.call, effect.function)
    if type(effect) is Embed:
        embed = context.caller.embed if context.caller is not None else embed_texts
        return await embed(context, effect.call, effect.texts, effect.model)
    if type(effect) is Inner:
        effect.context.caller = effect.context.caller or context.caller
        return await perform(effect.context, effect.effect)
    raise ProgramError(f"a program handed out {effect!r}, which is no effect")


async def _run_branches(branches: list[Context], caller: Caller | None) -> None:
    """Run branches side by side until each has finished; one that must not go on ends the others."""
    work = (drive(branch, resume(branch)) for branch in branches)
    await side_by_side(work, None if caller is None else caller.alongside)


async def _answer(context: Context, effect: AskModel) -> str:
    """Make a model call and fill it into the journal."""
    call, request = effect.call, effect.request
    started = time.perf_counter()
    caller = context.caller
    reply = await (ask_model(context, call, request) if caller is None else caller.complete(context, call, request))
    call.output = reply.text if call.kind != "logits" else _probabilities(reply)
    if reply.tool_calls:
        _take_tool_calls(effect, reply.text, reply.tool_calls)
    elif effect.tools and WRITTEN in reply.text:
        call.output = None
        raise OutputError(
            f"{call.primitive} at {call.place}: the model wrote a call of a tool that cannot be read: "
            f"{reply.text[:200]!r}; raise max_tokens where it was cut short, let an endpoint read calls of tools "
            "(its tool-call parser), or take a model that writes them well"
        )
    call.model = reply.model
    call.input_tokens, call.output_tokens, call.cost_usd = reply.input_tokens, reply.output_tokens, reply.cost_usd
    call.milliseconds = int((time.perf_counter() - started) * 10_000) / 10
    return call.output


def _take_tool_calls(effect: AskModel, text: str, tool_calls: list[dict[str, Any]]) -> None:
    call = effect.call
    if not effect.tools:
        call.output = None
        raise OutputError(
            f"{call.primitive} at {call.place}: the model called tools, where a text was asked for; give the primitive "
            "the tools as Python functions: tools=[function, ...]"
        )
    call.kind, call.output = TOOL_CALLS, tool_calls_output(text, tool_calls)


def _probabilities(reply: Reply) -> str:
    if reply.probabilities is None:
        raise OutputError(f"the model {reply.model} tells no probabilities; use multiple_choice, or a model that does")
    return orjson.dumps(reply.probabilities).decode()


async def ask_model(context: Context, call: Call, request: Request) -> Reply:
    """Ask the context's model and return its reply, the text in canonical form.

    Decisions and objects whose answer is not of the form asked for are asked again, up to
    ``classifier_max_tries`` times in all; every try is counted.

    Raises:
        ModelError: Where no valid answer was had.
    """
    model: Model = context.classifier if context.classifier is not None and call.kind == "choice" else context.model
    if request.kind == "text" and request.check is None:
        return await model.complete(request)
    tries = 1 if request.kind == "text" else context.config.classifier_max_tries
    spent: Reply | None = None
    for attempt in range(1, tries + 1):
        reply = await model.complete(request)
        spent = reply if spent is None else _sum(spent, reply)
        try:
            text = read_output(request, reply.text)
        except OutputError as error:
            if attempt == tries:
                failed = OutputError(f"{call.primitive} at {call.place}: {error} (asked {tries} times)")
                failed.spent = spent
                raise failed from None
        else:
            return spent if text == spent.text else replace(spent, text=text)
    raise AssertionError("unreachable")


async def run_step(context: Context, call: Call, function: Callable[[], Any]) -> Any:
    """Run a step's function off the event loop; what an ``async`` function has to wait for is awaited on it."""
    result = await off_loop(function)
    return await result if inspect.isawaitable(result) else result


async def embed_texts(context: Context, call: Call, texts: list[str], model: str) -> list[list[float]]:
    """Ask the context's model for embeddings."""
    return await context.model.embed(texts, model=model)


def _sum(spent: Reply, reply: Reply) -> Reply:
    cost = None if spent.cost_usd is None or reply.cost_usd is None else spent.cost_usd + reply.cost_usd
    return Reply(
        reply.text,
        reply.model,
        spent.input_tokens + reply.input_tokens,
        spent.output_tokens + reply.output_tokens,
        cost,
        reply.probabilities,
        spent.tries + reply.tries,
    )


def plain(value: Any, what: str) -> str:
    """Return a value as JSON text.

    Raises:
        ProgramError: Where it is no plain data (texts, numbers, booleans, lists, mappings, None).
    """
    try:
        return json.dumps(value, ensure_ascii=False, default=_plainer)
    except (TypeError, ValueError) as error:
        raise ProgramError(f"{what} is no plain data and cannot be recorded: {error}") from None


def _plainer(value: Any) -> Any:
    """Return a date, a dataclass or the like as plain data."""
    return json.loads(orjson.dumps(value))


def recorded_error(text: str) -> Exception:
    """Return the error that a journal holds as ``Class: message``; a ``ModelError`` where the class is not known."""
    name, _, message = text.partition(": ")
    kind = getattr(errors, name, None) or getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        return errors.ModelError(text)
    try:
        return kind(message)
    except TypeError:
        return errors.ModelError(text)
