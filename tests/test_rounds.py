from __future__ import annotations

import json
from pathlib import Path

import pytest

from autograms import Autogram
from autograms.conversation.record import Memory
from autograms.errors import EndpointError
from autograms.models import Request, ScriptedModel
from autograms.rounds import own_mistakes
from autograms.settings import DatasetSettings
from autograms.simulation import Simulator, plain_scenarios

PROGRAM = """
from autograms import autograms_function
from autograms.functional import generate_fixed_dict, multiple_choice, reply
from autograms.supervisors import SupervisorReturn


def chooser(question, choices):
    return SupervisorReturn("b", rejected_output="c")


def writer(instruction, keys):
    return {"size": "large"}


@autograms_function()
def chatbot():
    while True:
        multiple_choice("Which?", ["a", "b", "c"], supervisor=chooser)
        reply(generate_fixed_dict("How large?", ["size"], supervisor=writer)["size"])
"""


@pytest.fixture
def memories(tmp_path: Path) -> list[Memory]:
    (tmp_path / "bot.py").write_text(PROGRAM)
    chatbot = Autogram.from_file(tmp_path / "bot.py", model=ScriptedModel(), supervisor_mode=True)
    userbot = Autogram.from_file(tmp_path / "bot.py", model=ScriptedModel(), supervisor_mode=True)
    return Simulator(chatbot, userbot).run(plain_scenarios(4, num_turns=1, seed=0)).memories


def student(choice: str, size: str) -> ScriptedModel:
    return ScriptedModel(lambda request: choice if request.kind == "choice" else size)


def test_what_the_student_says_otherwise_becomes_a_pair(memories: list[Memory]) -> None:
    found = own_mistakes(student("a", '{"size": "large"}'), memories, DatasetSettings(deduplicate=False))
    assert {(row["chosen"], row["rejected"]) for row in found.pairs.to_pylist()} == {("b", "a")}
    assert (found.asked, found.malformed) == (sum(call.trains for memory in memories for call in memory.calls), 0)


def test_the_student_is_asked_what_the_deployed_program_asks(memories: list[Memory]) -> None:
    model = student("a", '{"size": "small"}')
    own_mistakes(model, memories, DatasetSettings())
    prompts = [memory.prompt_messages(call.prompt) for memory in memories for call in memory.calls if call.trains]
    assert sorted(map(json.dumps, prompts)) == sorted(json.dumps(request.messages) for request in model.requests)


def test_a_student_without_mistakes_leaves_no_pair(memories: list[Memory]) -> None:
    found = own_mistakes(student("b", '{"size": "large"}'), memories, DatasetSettings())
    assert found.pairs.num_rows == 0


def test_malformed_answers_are_counted_and_are_no_pair(memories: list[Memory]) -> None:
    found = own_mistakes(student("none of them", "{"), memories, DatasetSettings())
    assert found.pairs.num_rows == 0
    assert found.malformed == found.asked > 0


def test_the_memories_stay_as_they_are(memories: list[Memory]) -> None:
    before = [memory.to_dict() for memory in memories]
    own_mistakes(student("a", "{}"), memories, DatasetSettings())
    assert [memory.to_dict() for memory in memories] == before


def test_a_student_that_cannot_be_asked_is_an_error(memories: list[Memory]) -> None:
    def fail(request: Request) -> str:
        raise EndpointError("the student is away")

    with pytest.raises(EndpointError, match="away"):
        own_mistakes(ScriptedModel(fail), memories, DatasetSettings())
