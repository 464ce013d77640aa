from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import pytest

from autograms import Autogram
from autograms.errors import RecordError
from autograms.models import ScriptedModel
from autograms.serving import Conversations
from autograms.serving.chat_api import RequestError


def turn(conversations: Conversations, identity: str | None, text: str, *, begins: bool = True) -> tuple[str, str]:
    taken = asyncio.run(conversations.turn(identity, text, {}, begins=begins))
    return taken.identity, taken.said or ""


def test_another_process_resumes_what_was_saved(conversations: Conversations, program: Path) -> None:
    identity, _ = turn(conversations, None, "one")
    later = Conversations(Autogram.from_file(program, model=ScriptedModel()), conversations.folder)
    assert turn(later, identity, "two") == (identity, "heard: one, two")


def test_conversations_that_do_not_live_any_more_are_read_again(program: Path, tmp_path: Path) -> None:
    one_alive = Conversations(Autogram.from_file(program, model=ScriptedModel()), tmp_path / "kept", alive=1)
    assert turn(one_alive, "a", "one")[1] == "heard: one"
    assert turn(one_alive, "b", "two")[1] == "heard: two"
    assert turn(one_alive, "a", "three")[1] == "heard: one, three"
    one_alive.close()
    assert turn(one_alive, "b", "four")[1] == "heard: two, four"


def test_turns_of_one_conversation_wait_for_each_other(conversations: Conversations) -> None:
    async def both() -> list[str | None]:
        turns = [conversations.turn("a", text, {}, begins=True) for text in ("one", "two", "three")]
        return [taken.said for taken in await asyncio.gather(*turns)]

    assert asyncio.run(both()) == ["heard: one", "heard: one, two", "heard: one, two, three"]


@pytest.mark.parametrize("identity", ["", "..", "../up", "a/b", ".hidden", "x" * 65, "a b", "a\n", "é"])
def test_ids_that_could_name_another_file_are_refused(conversations: Conversations, identity: str) -> None:
    with pytest.raises(RequestError, match="cannot be a conversation's id"):
        turn(conversations, identity, "one")
    assert not conversations.folder.exists()


def test_an_unknown_conversation_is_no_new_one(conversations: Conversations) -> None:
    with pytest.raises(RequestError, match="no conversation 'gone'") as told:
        turn(conversations, "gone", "one", begins=False)
    assert told.value.status == 404


def test_a_failed_turn_leaves_the_conversation_as_it_was(conversations: Conversations) -> None:
    identity, _ = turn(conversations, None, "one")
    saved = (conversations.folder / f"{identity}.json").read_bytes()
    with pytest.raises(KeyError):
        turn(conversations, identity, "crash")
    assert (conversations.folder / f"{identity}.json").read_bytes() == saved
    assert turn(conversations, identity, "two")[1] == "heard: one, two"


def test_a_turn_that_cannot_be_saved_leaves_the_conversation_as_it_was(conversations: Conversations) -> None:
    identity, _ = turn(conversations, None, "one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # as on a disk that is full
    try:
        with pytest.raises(OSError, match="File too large"):
            turn(conversations, identity, "two")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert turn(conversations, identity, "two")[1] == "heard: one, two"


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b'{"version": 999, "calls": [], "turns": []}'])
def test_a_damaged_file_is_named(conversations: Conversations, content: bytes) -> None:
    conversations.folder.mkdir()
    (conversations.folder / "a.json").write_bytes(content)
    with pytest.raises(RecordError, match=r"a\.json"):
        turn(conversations, "a", "one")
    assert (conversations.folder / "a.json").read_bytes() == content
