"""Driving programs where no event loop runs: the program stays in the calling thread, so that a debugger works in it,
and its effects are performed by a loop in a second thread.

Here too are programs that run inside another one, whose driver and journal serve them.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from autograms.conversation.record import Call, Memory, Prompt
from autograms.conversation.tool_calls import TOOL_CALLS
from autograms.models.base import Model
from autograms.program.context import Context, ambient, current_or_none
from autograms.program.driver import perform, plain, recorded_error, resume, throw
from autograms.program.effects import FINISHED, SAID, AskModel, Inner, Parallel
from autograms.settings import AutogramConfig

__all__ = ["drive_here", "use_config"]

_COUNTS = ("model", "input_tokens", "output_tokens", "cost_usd", "milliseconds", "reused", "request")


class _Portal:
    """An event loop in a thread of its own, for effects of programs that run outside a loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, name="autograms-loop", daemon=True).start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def submit(self, work: Coroutine[Any, Any, Any]) -> concurrent.futures.Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)


_portal: _Portal | None = None
_portal_lock = threading.Lock()


def _get_portal() -> _Portal:
    global _portal
    with _portal_lock:
        if _portal is None:
            _portal = _Portal()
    return _portal


def _anew() -> None:
    global _portal, _portal_lock
    _portal, _portal_lock = None, threading.Lock()


os.register_at_fork(after_in_child=_anew)


def _run_outside(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in the second thread's loop and wait for its result, which Ctrl-C interrupts."""
    future = _get_portal().submit(work)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def drive_here(context: Context, effect: Any) -> Any:
    """Perform a program's effects until its turn ends, the program staying in this thread."""
    while effect is not SAID and effect is not FINISHED:
        try:
            result = _perform_here(context, effect)
        except Exception as error:
            effect = throw(context, error)
        else:
            effect = resume(context, result)
    return effect


def _perform_here(context: Context, effect: Any) -> Any:
    outer = current_or_none()
    if outer is not None and outer is not context:
        return _perform_inside(outer, context, effect)
    if type(effect) is Parallel:
        return _run_branches_here(effect.branches)
    return _run_outside(perform(context, effect))


def _perform_inside(outer: Context, context: Context, effect: Any) -> Any:
    """Perform the effect of a program that runs inside another one: the outer's driver does, its journal records."""
    if type(effect) is Parallel:
        for branch in effect.branches:
            drive_here(branch, resume(branch))
        return None
    call: Call = effect.call
    asked = context.memory.messages[call.prompt.ask][1]
    if outer.replaying:
        done = outer.recorded("inner", asked)
        if done.error is not None:
            raise recorded_error(done.error)
    else:
        prompt = Prompt(ask=outer.intern("step", asked))
        done = Call("inner", "step", prompt, None, outer.side, place=outer.place(), parent=outer.parent_call)
        outer.begin(done)
        try:
            result = outer.switch(Inner(context, effect))
        except Exception as error:
            done.error = f"{type(error).__name__}: {error}"
            raise
        made = json.loads(result) if call.kind == TOOL_CALLS else result
        done.output = plain(made, f"what {call.primitive} of {context.memory.autogram} returned")
        for name in _COUNTS:
            setattr(done, name, getattr(call, name))
    result = done.value()
    if type(effect) is AskModel:
        if isinstance(result, dict):
            call.kind, result = TOOL_CALLS, json.dumps(result, ensure_ascii=False)
        call.output = result
        for name in _COUNTS:
            setattr(call, name, getattr(done, name))
    return result


def _run_branches_here(branches: list[Context]) -> None:
    """Run branches side by side: their effects in the second thread, their programs in turn in this one."""
    waiting: dict[concurrent.futures.Future[Any], Context] = {}

    def advance(branch: Context, effect: Any) -> None:
        while type(effect) is Parallel:
            _run_branches_here(effect.branches)
            effect = resume(branch, None)
        if effect is not FINISHED:
            waiting[_get_portal().submit(perform(branch, effect))] = branch

    try:
        for branch in branches:
            advance(branch, resume(branch))
        while waiting:
            done, _ = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                branch = waiting.pop(future)
                error = future.exception()
                if isinstance(error, Exception):
                    advance(branch, throw(branch, error))
                else:
                    advance(branch, resume(branch, future.result()))
    finally:
        for future in waiting:
            future.cancel()


@contextmanager
def use_config(config: AutogramConfig, model: Model | None = None) -> Iterator[None]:
    """Let primitives be used outside a program, as in an ``init_chatbot()`` that asks for embeddings.

    Args:
        config: How models are asked.
        model: The model; the configuration's where unset.
    """
    if model is None:
        from autograms.models import resolve_model

        model = resolve_model(config.chatbot_model, base_url=config.endpoint)
    context = Context(Memory(), config, model)
    context.perform = _perform_here
    token = ambient.set(context)
    try:
        yield
    finally:
        ambient.reset(token)
