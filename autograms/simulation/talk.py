"""One conversation: the two programs' turns, what ends it, and the one record of both.

What does not belong here: many conversations at once (``simulator``), and what calls cost (``ledger``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from autograms.autogram import Autogram
from autograms.conversation.record import Memory, Prompt
from autograms.errors import BudgetError, CredentialsError, ModelNameError, StorageError, classify
from autograms.program.driver import drive
from autograms.simulation.ledger import ConversationLedger
from autograms.simulation.scenarios import Scenario

__all__ = ["END_THE_SIMULATION", "Cast", "talk", "truncate"]

END_THE_SIMULATION = (BudgetError, CredentialsError, ModelNameError, StorageError)
"""What every conversation would meet."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Who talks.

    Attributes:
        chatbot: The chatbot's program.
        userbot: The user's program.
        chatbot_memory: A saved memory that the chatbot starts from.
        user_memory: A saved memory that the user starts from.
        fingerprint: Kept in each memory.
    """

    chatbot: Autogram
    userbot: Autogram
    chatbot_memory: str | None = None
    user_memory: str | None = None
    fingerprint: str = ""

    def begin(self, scenario: Scenario) -> tuple[Memory, Memory]:
        """Return the chatbot's and the user's memory of a new conversation."""
        chat = self._memory(self.chatbot, scenario, self.chatbot_memory)
        return chat, self._memory(self.userbot, scenario, self.user_memory)

    def _memory(self, autogram: Autogram, scenario: Scenario, start: str | None) -> Memory:
        memory = Memory(autogram=autogram.name, checked=True) if start is None else autogram.deserialize(start)
        memory.scenario, memory.fingerprint, memory.seed = scenario.key, self.fingerprint, scenario.seed
        memory.scenario_data = orjson.dumps(scenario.to_dict()).decode()
        return memory


async def talk(
    cast: Cast, scenario: Scenario, ledger: ConversationLedger, *, on_turn: Callable[[], None] | None = None
) -> Memory:
    """Let the two programs talk, and return the conversation's memory, failed or not.

    Args:
        cast: Who talks.
        scenario: About what, and for how long.
        ledger: Answers the calls. Where it stops the conversation, the memory is ``truncated``.
        on_turn: Called after every turn.

    Raises:
        CredentialsError: Where the endpoint wants a key.
        ModelNameError: Where there is no such model.
        BudgetError: Where a budget is in dollars and a model has no price.
    """
    chat, user = cast.begin(scenario)
    side = cast.chatbot

    async def turn(text: str | None, kwargs: dict[str, Any]) -> str | None:
        said = await _turn(side, chat if side is cast.chatbot else user, ledger, text, kwargs)
        if on_turn is not None:
            on_turn()
        return said

    try:
        text: str | None = None
        first = scenario.user_goes_first
        for number in range(scenario.num_turns + (not first)):
            if number or first:
                side = cast.userbot
                text = await turn(text, scenario.user_kwargs)
                if text is None:
                    break
            side = cast.chatbot
            text = await turn(text, scenario.chatbot_kwargs)
            if text is None:
                break
    except END_THE_SIMULATION:
        raise
    except Exception as error:
        failure = classify(error, side.files)
        chat.status, chat.error, chat.error_message = "failed", failure.error, failure.message
        chat.error_place, chat.error_side = failure.place, side.side
    except BaseException as error:
        if ledger.stopped is None or isinstance(error, asyncio.CancelledError):
            raise
        truncate(chat, ledger)
    finally:
        cast.chatbot.release(chat)
        cast.userbot.release(user)
    return _joined(chat, user)


def truncate(memory: Memory, ledger: ConversationLedger) -> None:
    """Mark a conversation that its ledger stopped."""
    memory.status, memory.error, memory.error_message = "truncated", BudgetError.__name__, ledger.stopped


async def _turn(
    autogram: Autogram, memory: Memory, ledger: ConversationLedger, text: str | None, kwargs: dict[str, Any]
) -> str | None:
    before = len(memory.calls)
    context = autogram.attach(memory, caller=ledger)
    ledger.enter(context)
    try:
        effect = await drive(context, autogram.begin_turn(context, text, kwargs))
    finally:
        ledger.account.progress.calls += sum(call.output is not None for call in memory.calls[before:])
    return autogram.end_turn(context, effect)


def _joined(chat: Memory, user: Memory) -> Memory:
    """Append the user's calls to the chatbot's memory: one record holds the whole conversation."""
    if not user.calls:
        return chat
    messages = {message: index for index, message in enumerate(chat.messages)}
    moved = []
    for message in user.messages:
        if message not in messages:
            messages[message] = len(chat.messages)
            chat.messages.append(message)
        moved.append(messages[message])
    nodes, calls = len(chat.history), len(chat.calls)
    chat.history += [(parent + nodes if parent >= 0 else -1, moved[message]) for parent, message in user.history]
    for call in user.calls:
        prompt = call.prompt
        call.prompt = Prompt(
            moved[prompt.system] if prompt.system >= 0 else -1,
            prompt.first + nodes if prompt.first >= 0 else -1,
            prompt.last + nodes if prompt.last >= 0 else -1,
            moved[prompt.ask] if prompt.ask >= 0 else -1,
        )
        call.parent = None if call.parent is None else call.parent + calls
        chat.calls.append(call)
    return chat
