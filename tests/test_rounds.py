from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from autograms import Autogram
from autograms.conversation.record import Memory
from autograms.datasets import build_dpo
from autograms.errors import EndpointError
from autograms.finetuning import TrainingResult, read_result
from autograms.models import Request, ScriptedModel
from autograms.rounds import own_mistakes, train_rounds
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


# ---------------------------------------------------------------------------------------------------------- the rounds


class Trainer:
    """Stands in for training: each round's model is a folder that says what it was trained on."""

    def __init__(self) -> None:
        self.rounds: list[tuple[list[str], str]] = []

    def __call__(self, pairs: pa.Table, base: Path | str, target: Path) -> TrainingResult:
        rejected = [row["rejected"] for row in pairs.to_pylist()]
        self.rounds.append((rejected, Path(base).name))
        target.mkdir(parents=True)
        (target / "config.json").write_text(json.dumps({"round": len(self.rounds)}))
        result = TrainingResult(
            kind="dpo",
            name="bot",
            model=str(target),
            base=str(base),
            data_hash="",
            fingerprint="",
            recipe={},
            versions={},
            device="cpu",
            train_rows=len(rejected),
            validation_rows=0,
            steps=1,
            seconds=0.0,
            eval_loss_before=None,
            eval_loss_after=None,
        )
        result.write(target)
        return result


@pytest.fixture
def played(
    memories: list[Memory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int, list[str]], tuple[Trainer, TrainingResult, list[str]]]:
    """Train rounds; the student of each round answers the choice with the next of the given answers."""

    def play(rounds: int, choices: list[str]) -> tuple[Trainer, TrainingResult, list[str]]:
        answers, trainer, told = iter(choices), Trainer(), list[str]()
        monkeypatch.setattr(
            "autograms.models.checkpoint.CheckpointModel", lambda *_, **__: student(next(answers), '{"size": "large"}')
        )
        settings = DatasetSettings(validation_fraction=0)
        result = train_rounds(
            build_dpo(memories, settings).table,
            rounds,
            base=tmp_path / "sft",
            output_dir=tmp_path / "out" / "model",
            scratch=tmp_path / "scratch",
            train=trainer,
            memories=lambda: memories,
            settings=settings,
            tell=told.append,
        )
        return trainer, result, told

    return play


def test_one_round_is_one_training(played: Callable, tmp_path: Path) -> None:
    trainer, result, told = played(1, [])
    assert (len(trainer.rounds), told) == (1, [])
    assert result.model == str(tmp_path / "out" / "model")
    assert not (tmp_path / "scratch").exists()


def test_each_round_starts_from_the_last_and_trains_on_its_mistakes(played: Callable, tmp_path: Path) -> None:
    trainer, result, told = played(3, ["a", "c"])
    assert [(set(rejected), base) for rejected, base in trainer.rounds] == [
        ({"c"}, "sft"),
        ({"c", "a"}, "round1"),
        ({"c", "a"}, "round2"),
    ]
    assert json.loads((tmp_path / "out" / "model" / "config.json").read_text()) == {"round": 3}
    assert read_result(tmp_path / "out" / "model") == result
    assert result.metrics["rounds"] == 3
    assert told[0].startswith("round 2: 2 mistakes join the pairs that train, of 16 answers")
    assert not list((tmp_path / "scratch").iterdir())


def test_a_mistake_that_the_supervisors_rejected_too_joins_once(played: Callable) -> None:
    trainer, _, _ = played(2, ["c"])
    assert len(trainer.rounds[1][0]) == len(trainer.rounds[0][0])


def test_a_student_without_mistakes_ends_the_rounds(played: Callable, tmp_path: Path) -> None:
    trainer, result, told = played(5, ["a", "b"])
    assert len(trainer.rounds) == 2
    assert result.metrics["rounds"] == 2
    assert told[-1].startswith("round 3: 0 mistakes")
    assert json.loads((tmp_path / "out" / "model" / "config.json").read_text()) == {"round": 2}


def test_an_earlier_model_is_replaced(played: Callable, tmp_path: Path) -> None:
    (tmp_path / "out" / "model").mkdir(parents=True)
    (tmp_path / "out" / "model" / "stamp.json").write_text("old")
    played(2, ["a"])
    assert not (tmp_path / "out" / "model" / "stamp.json").exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model"]
