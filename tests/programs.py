"""Runs programs that tests write down as text: live, and saved and loaded behind every turn."""

from __future__ import annotations

import asyncio
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from autograms import Autogram, AutogramConfig, Memory, load_autogram
from autograms.models import Reply, Request, ScriptedModel

PRELUDE = """\
import random
from autograms import *
from autograms import nodes
from autograms.functional import *
from autograms.memory import get_memory, init_user_globals
from autograms.nodes import as_node, location
from autograms.supervisors import SupervisorReturn
"""


class SlowModel(ScriptedModel):
    """A scripted model whose answers take time: ``delay(request)`` seconds."""

    def __init__(self, outputs: Any = (), delay: Callable[[Request], float] = lambda request: 0.0) -> None:
        super().__init__(outputs)
        self.delay = delay

    async def complete(self, request: Request) -> Reply:
        """Wait, then answer."""
        await asyncio.sleep(self.delay(request))
        return await super().complete(request)


def write(source: str, folder: Path | None = None, name: str = "bot") -> Path:
    """Write a program's file, behind the usual imports."""
    folder = folder or Path(tempfile.mkdtemp(prefix="autograms-test-"))
    path = folder / f"{name}.py"
    path.write_text(PRELUDE + textwrap.dedent(source), encoding="utf-8")
    return path


def bot(source: str | Path, outputs: Any = (), **options: Any) -> Autogram:
    """Return the autogram of a program's text, whose model hands out ``outputs``."""
    config = options.pop("config", {})
    path = source if isinstance(source, Path) else write(source)
    model = outputs if isinstance(outputs, ScriptedModel) else ScriptedModel(outputs)
    return Autogram(load_autogram(path)[0], AutogramConfig(**config), model, **options)


def asked(autogram: Autogram) -> list[Request]:
    """Return the requests that the autogram's scripted model was sent."""
    assert isinstance(autogram.model, ScriptedModel)
    return autogram.model.requests


def said(request: Request) -> list[str]:
    """Return a request's texts behind their roles."""
    return [f"{message['role']}: {message['content']}" for message in request.messages]


def talk(
    autogram: Autogram,
    users: Iterable[str | None],
    memory: Memory | None = None,
    *,
    saving: bool = False,
    **kwargs: Any,
) -> tuple[list[str | None], Memory]:
    """Take a turn for each user text and return the replies; save and load the memory between turns if asked to."""
    memory = memory or Memory(autogram=autogram.name, seed=7)
    replies = []
    for text in users:
        reply, memory = autogram.reply(text, memory_object=memory, **kwargs)
        replies.append(reply)
        if saving:
            memory = autogram.deserialize(autogram.serialize(memory))
    return replies, memory


def comparable(memory: Memory) -> dict[str, Any]:
    """Return a memory as plain data, times aside."""
    data = memory.to_dict()
    for call in data["calls"]:
        call.pop("milliseconds", None)
    return data


def replies(
    source: str | Path,
    users: Sequence[str | None],
    outputs: Sequence[Any] | Callable[[Request], Any] = (),
    *,
    kwargs: dict[str, Any] | None = None,
    **options: Any,
) -> list[str | None]:
    """Return what a program replies, after a check that saving and loading behind each turn changes nothing."""
    path = source if isinstance(source, Path) else write(source)
    live, saving = bot(path, outputs, **options), bot(path, outputs, **options)
    spoken, memory = talk(live, users, **(kwargs or {}))
    again, loaded = talk(saving, users, saving=True, **(kwargs or {}))
    assert again == spoken
    assert sorted(map(repr, asked(saving))) == sorted(map(repr, asked(live)))  # branches ask in any order
    assert comparable(loaded) == comparable(memory)
    return spoken
