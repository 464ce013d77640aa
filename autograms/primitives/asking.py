"""The one way in which primitives ask a model: from a question to its answer, through the journal and supervisors.

Every primitive is a thin function over :func:`ask`. What belongs here: keywords, prompts, journal, supervision. What
does not: the wording of questions and the conversion of answers, which are the primitives'.
"""

from __future__ import annotations

import functools
import inspect
import json
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from autograms import errors
from autograms.conversation.record import NONE, Call, Prompt
from autograms.errors import ProgramError, ToolCallError
from autograms.models.base import Kind, Request
from autograms.primitives.supervision import Supervision, recorded_answer, supervise
from autograms.primitives.tool_rounds import ToolRounds
from autograms.program.context import Context, current, current_or_none
from autograms.program.effects import AskModel
from autograms.program.keywords import TOLD, takes_keywords, unknown_keyword

__all__ = ["ALL", "CHAT_KEYWORDS", "ask", "primitive", "text_output"]

_F = TypeVar("_F", bound=Callable[..., Any])

ALL = -1
"""Stands for "the primitive's default" where ``max_turns`` was not given."""

CHAT_KEYWORDS = frozenset(
    {
        *("audio", "chat_template_kwargs", "extra_body", "extra_headers", "frequency_penalty", "guided_choice"),
        *("guided_json", "guided_regex", "ignore_eos", "logit_bias", "logprobs", "max_completion_tokens", "max_tokens"),
        *("metadata", "min_p", "min_tokens", "modalities", "n", "parallel_tool_calls", "prediction"),
        *("presence_penalty", "prompt_cache_key", "reasoning_effort", "repetition_penalty", "response_format"),
        *("safety_identifier", "seed", "service_tier", "stop", "stop_token_ids", "store", "temperature", "timeout"),
        *("tool_choice", "tools", "top_k", "top_logprobs", "top_p", "user", "verbosity"),
    }
)
"""Keywords that pass through to the chat API (OpenAI's, and those that vLLM and TGI add)."""
_OWN_KEYWORDS = frozenset(
    {
        *("ADDRESS", "max_tool_rounds", "max_turns", "model", "model_type", "multi_modal_inputs"),
        *("supervisor", "supervisor_kwargs"),
    }
)


def primitive(function: _F) -> _F:
    """Give a primitive ``supervisor=``, ``supervisor_kwargs=`` and ``ADDRESS=``, and a look at its other keywords."""
    parameters = inspect.signature(function).parameters
    known = CHAT_KEYWORDS | _OWN_KEYWORDS | set(parameters)
    particular = "ignored" not in parameters  # AutoGRAMS lets some take anything

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("ADDRESS", None)
        supervisor = None
        if "supervisor" in kwargs or "supervisor_kwargs" in kwargs:
            supervisor = kwargs.pop("supervisor", None)
            extra = kwargs.pop("supervisor_kwargs", None) or {}
            if supervisor is not None:
                context = current_or_none()
                if context is not None and context.supervisor_mode:
                    if not callable(supervisor):
                        raise ProgramError(f"supervisor={supervisor!r} of {function.__name__} is not a function")
                    kwargs["_supervision"] = Supervision(supervisor, args, {**kwargs, **extra})
                else:
                    kwargs["_supervision"] = None
        if particular and kwargs and supervisor is None and not known.issuperset(kwargs):
            _warn_of_unknown(function.__name__, [key for key in kwargs if key not in known], known)
        return function(*args, **kwargs)

    if particular:
        takes_keywords(call, known)
    return call  # type: ignore[return-value]


def _warn_of_unknown(name: str, keywords: list[str], known: frozenset[str]) -> None:
    context = current_or_none()
    if context is None or context.replaying:
        return
    told = sys._getframe(2).f_globals.get(TOLD, ())
    for key in context.unseen(dict.fromkeys(keywords)):
        if (name, key) not in told:
            warnings.warn(f"{context.place()}: {unknown_keyword(name, key, known)}", stacklevel=3)


def ask(
    name: str,
    kind: Kind,
    text: str,
    options: dict[str, Any],
    *,
    encode: Callable[[Any], str],
    choices: tuple[str, ...] = (),
    schema: dict[str, Any] | None = None,
    check: Callable[[str], Any] | None = None,
    max_turns: int | None = None,
    role: str = "instruction",
    extra: str | None = None,
    history: bool = True,
    before: list[tuple[str, str, str | None]] | None = None,
) -> str:
    """Ask the model, the record or the supervisor, and return the answer in canonical form.

    Args:
        name: The primitive's name.
        kind: ``text``, ``choice`` or ``object``.
        text: The instruction or question as the model sees it.
        options: The keywords that the program gave, those of the chat API among them.
        encode: Turns a supervisor's output into its canonical form.
        choices: The answers of a choice.
        schema: The JSON schema of an object.
        check: A further test of the answer.
        max_turns: User turns that the call sees, ``None`` for all.
        role: The pool role of the question.
        extra: Further fields of the question's message, as JSON text.
        history: Whether the call sees the history and the system prompt.
        before: Messages that stand before the question where it does not.

    Raises:
        ModelError: Where the model gave no valid answer.
        DivergenceError: Where the program asks for something else than what was recorded.
    """
    context = current()
    if options.get("tools"):
        return _ask_with_tools(context, name, kind, text, options, encode, max_turns, role, extra, history, before)
    schema_text = None if schema is None else json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    if context.next_call < len(context.memory.calls):
        call = context.recorded(name, text, choices, schema_text, before)
        index, replayed = context.next_call - 1, True
        supervision = options.get("_supervision")
        if supervision is None or not call.supervised:
            return recorded_answer(context, call, index)
    else:
        supervision = options.pop("_supervision", _ABSENT)
        params, model, parts = _split(options, text)
        extra = extra or parts
        prompt = _prompt(context, kind, text, role, extra, max_turns, history, before)
        recorded_kind = "logits" if name == "multiple_choice_logits" else kind
        call = Call(
            name, recorded_kind, prompt, None, context.side, choices, schema_text, context.place(), context.parent_call
        )
        params = _with_defaults(context, kind, params)
        if params or model:
            call.params = json.dumps({**({"model": model} if model else {}), **params}, ensure_ascii=False, default=str)
        index, replayed = context.begin(call), False
        if supervision is None or supervision is _ABSENT:
            return _ask_model(context, call, _request(context, call, schema, model, params, check))
        call.supervised, call.supervisor = True, supervision.name
    return supervise(context, supervision, call, index, encode, replayed=replayed)


_ABSENT: Any = object()


def _ask_with_tools(
    context: Context,
    name: str,
    kind: Kind,
    text: str,
    options: dict[str, Any],
    encode: Callable[[Any], str],
    max_turns: int | None,
    role: str,
    extra: str | None,
    history: bool,
    before: list[tuple[str, str, str | None]] | None,
) -> str:
    if kind != "text":
        raise ToolCallError(f"{context.place()}: {name}() takes no tools; let a thought() call them before it")
    supervision = options.pop("_supervision", _ABSENT)
    params, model, parts = _split(options, text)
    rounds = ToolRounds(context, name, options, None if supervision is _ABSENT else supervision, encode, history)

    def prompt() -> Prompt:
        return _prompt(context, kind, text, role, extra or parts, max_turns, history, before)

    return rounds.answer(text, _with_defaults(context, kind, params), model, prompt, before)


def _ask_model(context: Context, call: Call, request: Request) -> str:
    try:
        return context.switch(AskModel(call, request))
    except Exception as error:
        call.error = f"{type(error).__name__}: {error}"
        raise


def _prompt(
    context: Context,
    kind: Kind,
    text: str,
    role: str,
    extra: str | None,
    max_turns: int | None,
    history: bool,
    before: list[tuple[str, str, str | None]] | None,
) -> Prompt:
    if history:
        with_system = not (kind == "choice" and context.config.exclude_classifier_system_prompt)
        return context.prompt(text, role=role, extra=extra, max_turns=max_turns, with_system=with_system)
    last = NONE
    for message in before or ():
        last = context.node(last, context.intern(*message))
    return Prompt(NONE, NONE, last, context.intern(role, text, extra))


def _request(
    context: Context,
    call: Call,
    schema: dict[str, Any] | None,
    model: str | None,
    params: dict[str, Any],
    check: Callable[[str], Any] | None,
) -> Request:
    messages = context.messages(call.prompt)
    kind: Kind = "choice" if call.kind == "logits" else call.kind  # type: ignore[assignment]
    return Request(
        kind,
        messages,
        call.choices,
        schema,
        call.primitive,
        model,
        params,
        check,
    )


def _with_defaults(context: Context, kind: Kind, params: dict[str, Any]) -> dict[str, Any]:
    config = context.config
    if config.chatbot_generation_args and kind != "choice":
        params = {**config.chatbot_generation_args, **params}
    if config.max_tokens is not None and "max_tokens" not in params and "max_completion_tokens" not in params:
        params = {**params, "max_tokens": config.max_tokens}
    return params


def _split(options: dict[str, Any], text: str) -> tuple[dict[str, Any], str | None, str | None]:
    """Sort a primitive's keywords: those of the chat API, the model, and further parts of the message."""
    if not options:
        return {}, None, None
    params = {key: value for key, value in options.items() if key in CHAT_KEYWORDS}
    parts = options.get("multi_modal_inputs")
    extra = None
    if parts:
        content = [{"type": "text", "text": text}, *(parts if isinstance(parts, list) else [parts])]
        extra = json.dumps({"content": content}, ensure_ascii=False)
    return params, options.get("model"), extra


def text_output(value: Any) -> str:
    """Encode the output of a primitive that returns a text.

    Raises:
        OutputError: Where the value is no text.
    """
    if not isinstance(value, str):
        raise errors.OutputError(f"expected a text, not {type(value).__name__}")
    return value
