"""Conversations that outlive the process: each one's memory is a file, written after every turn.

What does not belong here: HTTP.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from autograms.autogram import Autogram
from autograms.conversation.atomic import replacing
from autograms.conversation.record import Memory
from autograms.errors import RecordError
from autograms.program.root_keywords import misfit
from autograms.serving.chat_api import RequestError

__all__ = ["Conversations", "Taken"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Taken(NamedTuple):
    """A turn that was taken.

    Attributes:
        identity: The conversation's id.
        said: What the program said, ``None`` where it ended.
        memory: The conversation's memory.
        calls: How many calls it held before.
        greeting: What the program said before it got the conversation's first message, ``None`` for nothing.
    """

    identity: str
    said: str | None
    memory: Memory
    calls: int
    greeting: str | None


class Conversations:
    """An autogram's conversations with its users.

    Those that spoke last stay alive in this process; any other one is read from its file, and its program runs again
    against what was recorded.

    Args:
        autogram: The program with its model.
        folder: Where the memories are saved: ``ID.json``.
        alive: Most conversations that stay alive.
        user_goes_first: Whether a conversation's first message starts the program, as in simulations of scenarios that
            say so. Else the program speaks first: it has greeted before that message reaches it.
    """

    def __init__(self, autogram: Autogram, folder: Path, *, alive: int = 256, user_goes_first: bool = False) -> None:
        self.autogram = autogram
        self.folder = folder
        self.user_goes_first = user_goes_first
        self._most = alive
        self._alive: OrderedDict[str, Memory] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def turn(
        self, identity: str | None, text: str | None, kwargs: Mapping[str, Any], *, begins: bool = False
    ) -> Taken:
        """Take one turn, and save it before it is told. Turns of one conversation wait for each other.

        Args:
            identity: The conversation's id; a new conversation has a new one where unset.
            text: What the user says, ``None`` where the program speaks first.
            kwargs: Keywords of the root function, for a conversation that begins.
            begins: Whether the user's client holds no earlier turn; else an unknown conversation is an error.

        Raises:
            RequestError: Where the id cannot be, no such conversation is known, or the program takes other keywords.
            RecordError: Where the saved memory is damaged.
            OSError: Where the turn cannot be saved.
            AutogramsError: And whatever the program raises; the conversation is then as it was.
        """
        identity = uuid.uuid4().hex if identity is None else _checked(identity)
        lock = self._locks.setdefault(identity, asyncio.Lock())
        async with lock:
            memory, greeting = self._find(identity), None
            calls = 0 if memory is None else len(memory.calls)
            if memory is None:
                if not begins:
                    raise RequestError(f"no conversation {identity!r}: leave the id out to begin one", 404)
                self._check(kwargs)
                memory = self.autogram.new_memory()
                if text is not None and not self.user_goes_first:
                    greeting, memory = await self.autogram.areply(None, memory, **kwargs)
            said, memory = await self.autogram.areply(text, memory, **kwargs)
            self._save(identity, memory)
            self._keep(identity, memory)
        return Taken(identity, said, memory, calls, greeting)

    def close(self) -> None:
        """End the programs that live on; their conversations stay."""
        while self._alive:
            self.autogram.release(self._alive.popitem()[1])

    def _check(self, kwargs: Mapping[str, Any]) -> None:
        """Refuse keywords that the program's root function does not take, before it is called."""
        wrong = misfit(self.autogram.root_function, kwargs)
        if wrong is not None:
            raise RequestError(f"'chatbot_kwargs' {wrong}", param="chatbot_kwargs")

    def _find(self, identity: str) -> Memory | None:
        memory = self._alive.get(identity)
        if memory is not None:
            return memory
        path = self._path(identity)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise RecordError(f"{path} is damaged: {error}") from None
        try:
            return self.autogram.deserialize(text)
        except RecordError as error:
            raise RecordError(f"{path}: {error}") from None

    def _save(self, identity: str, memory: Memory) -> None:
        try:
            with replacing(self._path(identity)) as file:
                file.write(self.autogram.serialize(memory).encode("utf-8"))
        except BaseException:  # the next request goes on from what is on the disk, as the caller is told
            self._alive.pop(identity, None)
            self.autogram.release(memory)
            raise

    def _keep(self, identity: str, memory: Memory) -> None:
        self._alive[identity] = memory
        self._alive.move_to_end(identity)
        while len(self._alive) > self._most:
            self.autogram.release(self._alive.popitem(last=False)[1])

    def _path(self, identity: str) -> Path:
        return self.folder / f"{identity}.json"


def _checked(identity: str) -> str:
    if not _ID.fullmatch(identity):
        raise RequestError(
            f"{identity[:80]!r} cannot be a conversation's id; expected up to 64 letters, digits, '_', '.' and '-'"
        )
    return identity
