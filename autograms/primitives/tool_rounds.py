"""Asking with tools: the model calls them, they run, and their results go back until the model answers.

Each answer of the model is a call in the journal, and each run of a tool a step behind it, so that a resumed program
meets both again and repeats neither. What does not belong here: how a tool is described and its arguments checked
(``tools``).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from autograms.conversation.prompt import pool_message
from autograms.conversation.record import NONE, Call, Prompt
from autograms.conversation.tool_calls import (
    DRAFT,
    TOOL,
    TOOL_CALLS,
    answer_message,
    offered_tools,
    result_message,
)
from autograms.errors import OutputError, ProgramError, ToolCallError
from autograms.models.base import Request
from autograms.primitives.supervision import Supervision, recorded_answer, supervise
from autograms.primitives.tools import Toolbox
from autograms.program.context import Context
from autograms.program.driver import plain, recorded_error
from autograms.program.effects import AskModel, RunStep

__all__ = ["MAX_TOOL_ROUNDS", "ROUNDS", "ToolRounds", "keep_rounds"]

MAX_TOOL_ROUNDS = 10
ROUNDS = "_rounds"
"""The option in which a primitive finds the messages of the rounds, to keep them in the history."""
_OWN = ("tools", "tool_choice", "parallel_tool_calls", "max_tool_rounds")
_PoolMessage = tuple[str, str, str | None]


def keep_rounds(context: Context, options: dict[str, Any]) -> None:
    """Append what a primitive's rounds added to the history: calls of tools, and what the tools gave."""
    for message in options.get(ROUNDS, ()):
        context.log(*message)


class ToolRounds:
    """One primitive that asks with tools.

    Args:
        context: The running program.
        name: The primitive's name.
        options: The program's keywords, ``tools`` among them.
        supervision: The supervisor that gives the answer behind the tools, or ``None``.
        encode: Turns a supervisor's output into its canonical form.
        history: Whether the calls see the history.

    Raises:
        ToolCallError: Where a tool cannot be described.
    """

    def __init__(
        self,
        context: Context,
        name: str,
        options: dict[str, Any],
        supervision: Supervision | None,
        encode: Callable[[Any], str],
        history: bool,
    ) -> None:
        self.context = context
        self.name = name
        self.toolbox = Toolbox(options["tools"])
        self.limit = options.get("max_tool_rounds", MAX_TOOL_ROUNDS)
        if type(self.limit) is not int or self.limit < 1:
            raise ToolCallError(f"max_tool_rounds={self.limit!r}: expected a whole number from 1 on")
        self.supervision = supervision
        self.encode = encode
        self.history = history
        self.messages: list[_PoolMessage] = options.setdefault(ROUNDS, [])
        self.replayed = False

    def answer(
        self,
        text: str,
        params: dict[str, Any],
        model: str | None,
        prompt: Callable[[], Prompt],
        before: list[_PoolMessage] | None,
    ) -> str:
        """Ask, run what the model calls, and ask again, until it answers.

        Args:
            text: The instruction as the model sees it.
            params: Keywords of the chat API.
            model: A model other than the default one.
            prompt: Makes the first prompt.
            before: Messages that stand before the instruction where the call does not see the history.

        Raises:
            OutputError: Where the model still calls tools after ``max_tool_rounds`` rounds.
            DivergenceError: Where the program asks for something else than what was recorded.
        """
        params = {**params, "tools": self.toolbox.schemas}
        call = self._ask(text, params, model, prompt, before)
        node = NONE
        rounds = 0
        while call.kind == TOOL_CALLS:
            rounds += 1
            self._refuse_more(call, rounds)
            if rounds == 1:
                node = self.context.node(call.prompt.last, call.prompt.ask)
                if params.get("tool_choice") not in ("auto", "none"):  # what must be called was called
                    params = {name: value for name, value in params.items() if name != "tool_choice"}
            new = self._run(call)
            for message in new[:-1]:
                node = self.context.node(node, self.context.intern(*message))
            system, first, at = call.prompt.system, call.prompt.first, node
            call = self._ask(
                new[-1][1],
                params,
                model,
                lambda: Prompt(system, first, at, self.context.intern(*new[-1])),  # noqa: B023 - called at once
                None,
            )
            node = self.context.node(node, call.prompt.ask)
        if call.kind == DRAFT or (self.supervision is not None and not self.replayed):
            return self._supervised(call)
        if call.error is not None:
            raise recorded_error(call.error)
        return call.output or ""

    def _ask(
        self,
        text: str,
        params: dict[str, Any],
        model: str | None,
        prompt: Callable[[], Prompt],
        before: list[_PoolMessage] | None,
    ) -> Call:
        """Take the journal's next call, or make one and ask the model."""
        context = self.context
        self.replayed = context.replaying
        if self.replayed:
            call = context.recorded(self.name, text, (), None, before)
            if _gist(offered_tools(call.params)) != _gist(self.toolbox.schemas):
                context.next_call -= 1
                offered = ", ".join(self.toolbox.names)
                raise context.halt(call, f"the same with other tools, or other descriptions of them ({offered})")
            return call
        call = Call(self.name, "text", prompt(), None, context.side, place=context.place(), parent=context.parent_call)
        call.params = json.dumps({**({"model": model} if model else {}), **params}, ensure_ascii=False, default=str)
        context.begin(call)
        request = Request("text", context.messages(call.prompt), schema_name=self.name, model=model, params=params)
        try:
            context.switch(AskModel(call, request, tools=True))
        except Exception as error:
            call.error = f"{type(error).__name__}: {error}"
            raise
        return call

    def _refuse_more(self, call: Call, rounds: int) -> None:
        """Refuse calls of tools beyond the limit, and of tools that cannot be run."""
        if self.replayed:
            if call.error is not None and not call.error.startswith("ToolCallError: "):
                raise recorded_error(call.error)
            return
        called = [item["function"]["name"] for item in answer_message(call.kind, call.output or "")["tool_calls"]]
        unrunnable = [name for name in called if not self.toolbox.is_function(name)]
        problem = None
        if unrunnable:
            problem = f"the model calls {unrunnable[0]}(), which is described only; give Python functions as tools"
        elif rounds > self.limit:
            problem = (
                f"the model called tools in {rounds} rounds and gave no answer (last: {', '.join(called)}); say in the "
                f"instruction when to answer, or raise max_tool_rounds={self.limit}"
            )
        if problem is not None:
            error = OutputError(f"{self.name} at {call.place}: {problem}")
            call.error = f"OutputError: {error}"
            raise error

    def _run(self, call: Call) -> list[_PoolMessage]:
        """Run what the model calls, one tool after the other; return the messages that this adds."""
        message = answer_message(call.kind, call.output or "")
        replayed = self.replayed
        added = [pool_message(message)]
        for item in message["tool_calls"]:
            step = self._step(item["function"]["name"], item["function"]["arguments"])
            if not replayed and call.error is None and step.error and step.error.startswith("ToolCallError: "):
                call.error = step.error  # no answer that should be learned
            added.append(pool_message(result_message(item["id"], step)))
        self.messages += added
        return added

    def _step(self, name: str, arguments: str) -> Call:
        context = self.context
        asked = f"{name}({arguments})"
        if context.replaying:
            step = context.recorded(TOOL, asked)
            if step.error is not None and isinstance(error := recorded_error(step.error), ProgramError):
                _raise_unless_refused(error)
            return step
        prompt = Prompt(ask=context.intern("step", asked))
        step = Call(TOOL, "step", prompt, None, context.side, place=context.place(), parent=context.parent_call)
        context.begin(step)
        try:
            result = context.switch(RunStep(step, self.toolbox.run(name, arguments)))
            step.output = plain(result, f"the result of the tool {name}()")
        except Exception as error:
            step.error = f"{type(error).__name__}: {error}"
            if isinstance(error, ProgramError):
                _raise_unless_refused(error)
        return step

    def _supervised(self, draft: Call) -> str:
        """Let the supervisor answer in place of the model, which has said its draft; it sees what the tools gave."""
        context, supervision = self.context, self.supervision
        replayed = context.replaying
        if replayed:
            call = context.recorded(self.name, context.memory.messages[draft.prompt.ask][1])
            if supervision is None or not call.supervised:
                return recorded_answer(context, call, context.next_call - 1)
        elif supervision is None:
            return draft.output or ""
        else:
            draft.kind = DRAFT
            call = Call(self.name, "text", draft.prompt, side=context.side, params=draft.params, place=context.place())
            call.parent, call.supervised, call.supervisor = context.parent_call, True, supervision.name
            context.begin(call)
        index, head = context.next_call - 1, context.head
        for name in _OWN:
            supervision.kwargs.pop(name, None)
        try:
            if self.history:
                for message in self.messages:
                    context.log(*message)
            return supervise(context, supervision, call, index, self.encode, replayed=replayed)
        finally:
            context.head = head


def _gist(tools: list[dict[str, Any]] | None) -> list[tuple[Any, ...]]:
    """Return what a program says of its tools: names, descriptions, parameters. How types are written is pydantic's."""
    functions = [tool.get("function") or {} for tool in tools or ()]
    return [
        (each.get("name"), each.get("description"), *sorted((each.get("parameters") or {}).get("properties") or ()))
        for each in functions
    ]


def _raise_unless_refused(error: ProgramError) -> None:
    """Raise what the program did wrong; a call that was refused goes back to the model."""
    if not isinstance(error, ToolCallError):
        raise error
