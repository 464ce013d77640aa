"""An endpoint in this process, over a small program that remembers what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from autograms import Autogram
from autograms.models import ScriptedModel
from autograms.serving import Conversations, ProgramTalker, build_app

PROGRAM = """
from autograms import autograms_function
from autograms.functional import extract_last_user_reply, reply, reply_instruction


@autograms_function()
def chatbot(greeting="Hello"):
    heard = []
    if not extract_last_user_reply():
        reply(f"{greeting}, who are you?")
    while "bye" not in extract_last_user_reply():
        heard.append(extract_last_user_reply())
        if "crash" in heard[-1]:
            raise KeyError(heard[-1])
        if "think" in heard[-1]:
            reply_instruction("Answer.")
        else:
            reply(f"heard: {', '.join(heard)}", data={"count": len(heard)})
"""

Ask = Callable[..., Awaitable[Any]]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "listener.py"
    path.write_text(PROGRAM)
    return path


@pytest.fixture
def conversations(program: Path, tmp_path: Path) -> Conversations:
    return Conversations(Autogram.from_file(program, model=ScriptedModel(["a thought"])), tmp_path / "kept")


@pytest.fixture
def app(conversations: Conversations) -> web.Application:
    return build_app(ProgramTalker("listener", conversations))


def serving(app: web.Application, use: Callable[[TestClient], Awaitable[None]]) -> None:
    """Serve for the time of ``use``."""

    async def run() -> None:
        async with TestClient(TestServer(app)) as client:
            await use(client)

    asyncio.run(run())


async def say(client: TestClient, text: str | None, identity: str | None = None, **fields: Any) -> tuple[int, Any]:
    """Send one message (none where ``text`` is ``None``), and return the status and the JSON."""
    messages = [] if text is None else [{"role": "user", "content": text}]
    headers = {} if identity is None else {"X-Conversation-Id": identity}
    answer = await client.post("/v1/chat/completions", json={"messages": messages, **fields}, headers=headers)
    return answer.status, await answer.json()


def text_of(answer: tuple[int, Any]) -> str:
    status, data = answer
    assert status == 200, data
    return data["choices"][0]["message"]["content"]
