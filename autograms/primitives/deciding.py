"""Deciding: primitives that let the model choose."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from autograms.errors import OutputError, ProgramError
from autograms.primitives.asking import ALL, ask, primitive
from autograms.program.context import Context, current

__all__ = ["decide", "multiple_choice", "multiple_choice_logits", "yes_or_no"]

_YES_NO = ("Yes", "No")
_MOST = 26


@primitive
def yes_or_no(question: str, max_turns: int | None = ALL, **options: Any) -> bool:
    """Let the model answer yes or no.

    Args:
        question: The question.
        max_turns: User turns that the model sees: 1 by default, 0 for none, ``None`` for all.
        **options: ``supervisor``, ``supervisor_kwargs``, and any keyword of the chat API.
    """
    context = current()
    text = f"{_opening(context)}{question}\nAnswer with one word: Yes or No."
    answer = ask(
        "yes_or_no",
        "choice",
        text,
        options,
        encode=_encode_yes_no,
        choices=_YES_NO,
        max_turns=_turns(context, max_turns),
    )
    return answer == "Yes"


@primitive
def multiple_choice(question: str, choices: Sequence[str], max_turns: int | None = ALL, **options: Any) -> int:
    """Let the model choose.

    Args:
        question: The question.
        choices: The answers, 26 at most; a single one asks nothing.
        max_turns: User turns that the model sees: 1 by default, 0 for none, ``None`` for all.
        **options: ``supervisor``, ``supervisor_kwargs``, and any keyword of the chat API.

    Returns:
        The index of the choice.

    Raises:
        ProgramError: With no choice, or more than 26.
    """
    allowed = checked_choices(choices)
    if len(allowed) == 1:
        return 0
    context = current()
    answer = ask(
        "multiple_choice",
        "choice",
        choice_question(context, question, allowed),
        options,
        encode=choice_encoder(allowed),
        choices=allowed,
        max_turns=_turns(context, max_turns),
    )
    return allowed.index(answer)


@primitive
def multiple_choice_logits(
    question: str, choices: Sequence[str], max_turns: int | None = ALL, **options: Any
) -> list[float]:
    """Return how likely the model holds each choice to be.

    Returns:
        The natural logarithm of each choice's probability, in the order of the choices.

    Raises:
        ProgramError: With no choice, or more than 26.
        OutputError: Where the model tells no probabilities.
    """
    allowed = checked_choices(choices)
    context = current()
    answer = ask(
        "multiple_choice_logits",
        "choice",
        choice_question(context, question, allowed),
        {"logprobs": True, "top_logprobs": 20, **options},
        encode=_shares_encoder(allowed),
        choices=allowed,
        max_turns=_turns(context, max_turns),
    )
    return [math.log(max(share, 1e-30)) for share in json.loads(answer)]


def _shares_encoder(choices: tuple[str, ...]) -> Callable[[Any], str]:
    """Return the function that turns log-probabilities, or a choice that is certain, into the choices' shares."""
    encode_choice = choice_encoder(choices)

    def encode(value: Any) -> str:
        if not isinstance(value, (list, tuple)):
            chosen = encode_choice(value)
            return json.dumps([float(choice == chosen) for choice in choices])
        if len(value) != len(choices) or not all(type(log) in (int, float) and log <= 0 for log in value):
            raise OutputError(f"expected {len(choices)} log-probabilities, none above 0, or one of {list(choices)!r}")
        return json.dumps([math.exp(log) for log in value])

    return encode


def decide(name: str, question: str, choices: Sequence[str], max_turns: int | None, options: dict[str, Any]) -> str:
    """Ask a question with choices under another primitive's name; return the choice's text."""
    context = current()
    allowed = checked_choices(choices)
    return ask(
        name,
        "choice",
        choice_question(context, question, allowed),
        options,
        encode=choice_encoder(allowed),
        choices=allowed,
        max_turns=_turns(context, max_turns),
    )


def checked_choices(choices: Sequence[str]) -> tuple[str, ...]:
    """Return the choices as texts.

    Raises:
        ProgramError: With no choice, or more than 26.
    """
    if isinstance(choices, str) or not choices:
        raise ProgramError(f"choices={choices!r}: expected a list of texts, at least one")
    if len(choices) > _MOST:
        raise ProgramError(f"{len(choices)} choices: expected {_MOST} at most; ask in two steps")
    return tuple(str(choice) for choice in choices)


def choice_question(context: Context, question: str, choices: tuple[str, ...]) -> str:
    """Return the question as the model sees it."""
    listing = "\n".join(f"- {choice}" for choice in choices)
    return f"{_opening(context)}{question}\nAnswer with one of these, word for word:\n{listing}"


def choice_encoder(choices: tuple[str, ...]) -> Callable[[Any], str]:
    """Return the function that turns an index or a choice's text into the choice's text."""

    def encode(value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(choices):
            return choices[value]
        if isinstance(value, str) and value in choices:
            return value
        raise OutputError(f"expected an index from 0 to {len(choices) - 1}, or one of {list(choices)!r}")

    return encode


def _encode_yes_no(value: Any) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, str) and value.strip().capitalize() in _YES_NO:
        return value.strip().capitalize()
    raise OutputError("expected True or False, or 'Yes' or 'No'")


def _opening(context: Context) -> str:
    opening = context.config.default_question_prompt
    return f"{opening.rstrip()}\n" if opening else ""


def _turns(context: Context, max_turns: int | None) -> int | None:
    return context.config.default_transition_context if max_turns == ALL else max_turns
