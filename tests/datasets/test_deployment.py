"""What trains is what deployment asks: rows of a supervised run against the requests of the deployed program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autograms import Autogram, AutogramConfig, load_autogram
from autograms.conversation.elsewhere import read_chats
from autograms.conversation.record import Memory
from autograms.conversation.table import memories_to_table, table_to_memories
from autograms.datasets import build_dpo, build_sft, chat_messages, check_rows, export_jsonl
from autograms.datasets.formats import export_sharegpt
from autograms.datasets.openai_rules import check_openai_file
from autograms.errors import DatasetError
from autograms.models import Request, ScriptedModel
from autograms.settings import DatasetSettings

PROGRAM = """
from autograms import autograms_function
from autograms.functional import *
from autograms.supervisors import SupervisorReturn

def better(instruction, **kwargs):
    draft = silent_thought("Draft an answer: " + instruction)
    return SupervisorReturn("[" + draft + "]", rejected_output="bad", score=0.7, tags=["drafted"])

def decide(question, *args, **kwargs):
    thought("Think about: " + question)
    return True

@autograms_function(conv_scope="local")
def inner():
    set_system_prompt("You are inside.")
    thought("Look around.")
    return generate_object("Describe it.", {"type": "object", "properties": {"a": {"type": "string"}}})

@autograms_function(conv_scope="normal")
def middle():
    thought("Think in between.", supervisor=better)
    return multiple_choice("Which one?", ["red", "green"], max_turns=2)

def chatbot():
    set_system_prompt("You are a test.")
    reply("Welcome.")
    while True:
        if yes_or_no("Is it a greeting?", supervisor=decide):
            thought("Note the name.", supervisor=better)
        inner()
        middle()
        generate_list("Name some things.")
        reply_instruction("Answer politely.", supervisor=better)
        reply_instruction("Say one thing more.", max_turns=1)
"""


def answer(request: Request) -> Any:
    """The same answer to the same request, whoever asks."""
    if request.kind == "choice":
        return request.choices[0]
    if request.kind == "object":
        return {name: [] if name == "data" else "x" for name in (request.schema or {}).get("properties", {})}
    return f"({str(request.messages[-1]['content'])[-30:]})"


def run(program: Path, model: ScriptedModel, *, supervised: bool) -> Memory:
    chatbot, _ = load_autogram(program)
    bot = Autogram(chatbot, AutogramConfig(), model, supervisor_mode=supervised)
    _, memory = bot.reply()
    for said in ("hello, I am Ann", "what now?", "and then?", "bye"):
        _, memory = bot.reply(said, memory)
    return memory


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "bot.py"
    path.write_text(PROGRAM)
    return path


def test_rows_hold_the_requests_of_the_deployed_program(program: Path) -> None:
    supervised = run(program, ScriptedModel(answer), supervised=True)
    rows = build_sft([supervised], DatasetSettings(deduplicate=False, validation_fraction=0)).table.to_pylist()
    outputs = iter([row["completion"] for row in rows])
    deployed = ScriptedModel(lambda request: next(outputs))
    run(program, deployed, supervised=False)
    assert [chat_messages(row["prompt"]) for row in rows] == [request.messages for request in deployed.requests]
    assert {row["kind"] for row in rows} == {"text", "choice", "object"}
    assert {tuple(row["choices"]) for row in rows} == {tuple(request.choices) for request in deployed.requests}


def test_recorded_conversations_survive_parquet(program: Path) -> None:
    memory = run(program, ScriptedModel(answer), supervised=True)
    (read,) = table_to_memories(memories_to_table([memory]))
    assert read == memory
    assert json.dumps(read.to_dict()) == json.dumps(memory.to_dict())


def test_calls_of_supervisors_do_not_train(program: Path) -> None:
    memory = run(program, ScriptedModel(answer), supervised=True)
    report = build_sft([memory], DatasetSettings(deduplicate=False)).report
    assert report.dropped["inside a supervisor"] == sum(call.parent is not None for call in memory.calls) > 0


TOOLS = '''
from autograms import autograms_function
from autograms.functional import *
from autograms.supervisors import SupervisorReturn

def lookup(order: int, *, place: str | None = None) -> dict:
    """Look an order up."""
    return {"order": order, "status": "shipped"}

def note(text: str) -> str:
    return "noted"

def formal(instruction):
    return SupervisorReturn(silent_thought("Formally: " + instruction), rejected_output="dunno")

@autograms_function()
def chatbot():
    set_system_prompt("You are a test.")
    reply("Welcome.")
    while True:
        thought("Think.", tools=[note])
        reply_instruction("Answer.", tools=[lookup, note], supervisor=formal)
        reply_instruction("Say more.")
'''


def with_tools(request: Request) -> Any:
    """Two tools at once, then one, then a text."""
    offered = [tool["function"]["name"] for tool in request.params.get("tools", ())]
    rounds = 0
    for message in reversed(request.messages):
        if message["role"] == "user":
            break
        rounds += "tool_calls" in message
    if rounds < len(offered):
        given = {"lookup": {"order": len(request.messages), "place": None}, "note": {"text": "é"}}
        return {"tool_calls": [{"name": name, "arguments": given[name]} for name in offered[rounds:]]}
    return f"({len(request.messages)})"


@pytest.fixture
def calling(tmp_path: Path) -> tuple[Memory, Any, list[Request]]:
    """A supervised conversation with tools, its rows, and the requests of the deployed program that answers by them."""
    path = tmp_path / "tools.py"
    path.write_text(TOOLS)
    supervised = run(path, ScriptedModel(with_tools), supervised=True)
    table = build_sft([supervised], DatasetSettings(deduplicate=False, validation_fraction=0)).table
    outputs = iter([(row["kind"], row["completion"]) for row in table.to_pylist()])
    deployed = ScriptedModel(lambda request: _answered(*next(outputs)))
    run(path, deployed, supervised=False)
    return supervised, table, deployed.requests


def _answered(kind: str, completion: str) -> Any:
    return json.loads(completion) if kind == "tool_calls" else completion


def test_rows_with_tools_hold_the_requests_of_the_deployed_program(calling: Any) -> None:
    _, table, requests = calling
    rows = table.to_pylist()
    assert [chat_messages(row["prompt"]) for row in rows] == [request.messages for request in requests]
    offered = [json.loads(row["tools"]) if row["tools"] else None for row in rows]
    assert offered == [request.params.get("tools") for request in requests]
    dropped = build_sft([calling[0]], DatasetSettings(deduplicate=False)).report.dropped
    assert dropped["a supervisor answered in its place"] == 2
    kinds = [(row["kind"], row["supervisor"]) for row in rows]
    assert {("tool_calls", None), ("text", None), ("text", "formal")} == set(kinds)
    behind = [row for row in rows if row["supervisor"]]
    assert all(row["prompt"][-1]["role"] == "tool" for row in behind)
    assert not any(row["completion"] == "dunno" for row in rows)


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_what_a_local_model_is_shown_is_what_trains(calling: Any, kind: Any) -> None:
    """Token for token: the prompt that ``checkpoint/`` renders, and an answer that it reads back as the row's."""
    from autograms.finetuning.student import tiny_tokenizer
    from autograms.finetuning.tokens import read_rows, row_texts, tokenize_rows
    from autograms.models.call_reader import call_reader
    from autograms.models.local import LocalModel

    memory, table, _ = calling
    if kind == "dpo":
        table = build_dpo([memory], DatasetSettings(deduplicate=False, validation_fraction=0)).table
    rows = list(read_rows(table, kind))
    tokenizer = tiny_tokenizer(row_texts(rows))
    local = object.__new__(LocalModel)
    local._tokenizer, local._name, local._context, local._reader = tokenizer, "tiny", None, None
    tokens, _ = tokenize_rows(rows, tokenizer, max_length=10_000, truncate=False)
    read = call_reader(tokenizer, "tiny")
    for row, rendered in zip(rows, tokens, strict=True):
        assert rendered.prompt == local.render(row.messages, row.tools)
        assert all(map(all, rendered.losses))
        called = read(rendered.prompt, rendered.answers[0][:-1], row.tools or [])
        if row.kind != "tool_calls":
            assert called is None
            continue
        wanted = json.loads(row.answers[0])["tool_calls"]
        assert called is not None
        assert [call["function"] for call in called[1]] == [call["function"] for call in wanted]


@pytest.mark.parametrize("flavor", ["huggingface", "openai"])
@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_exports_with_tools_come_back(calling: Any, tmp_path: Path, flavor: Any, kind: Any) -> None:
    memory, _, _ = calling
    build: Any = build_dpo if kind == "dpo" else build_sft
    settings = DatasetSettings(validation_fraction=0)
    table = build([memory], settings).table
    (path,) = export_jsonl(table, tmp_path / "out", flavor=flavor, kind=kind)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(line.get("tools") or line["input"]["tools"] for line in lines if "tools" in line or kind == "dpo")
    if flavor == "openai":
        assert check_openai_file(path, kind=kind, fewest=1) == []
    again = build(read_chats(path).memories, settings).table
    compared = ["prompt", "tools", "kind", *(["chosen", "rejected"] if kind == "dpo" else ["completion"])]
    assert _sorted(again, compared) == _sorted(table, compared)


def _sorted(table: Any, names: list[str]) -> list[str]:
    return sorted(str([row[name] for name in names]) for row in table.to_pylist())


@pytest.mark.long  # TRL and datasets take long to import
def test_trl_renders_the_exported_rows_as_deployment_does(calling: Any, tmp_path: Path) -> None:
    """The file as ``datasets`` reads it, rendered by TRL, is the prompt and the answer that this project trains on."""
    from datasets import load_dataset
    from trl.data_utils import apply_chat_template

    from autograms.finetuning.student import tiny_tokenizer
    from autograms.finetuning.tokens import read_rows, row_texts, tokenize_rows

    _, table, _ = calling
    rows = list(read_rows(table, "sft"))
    tokenizer = tiny_tokenizer(row_texts(rows))
    tokens, _ = tokenize_rows(rows, tokenizer, max_length=10_000, truncate=False)
    (path,) = export_jsonl(table, tmp_path / "out")
    loaded = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    for example, ours in zip(loaded, tokens, strict=True):
        made = apply_chat_template(
            {"prompt": example["prompt"], "completion": example["completion"]}, tokenizer, tools=example["tools"]
        )
        assert made["prompt"] == tokenizer.decode(ours.prompt)
        assert made["completion"].strip() == tokenizer.decode(ours.answers[0])


def test_other_forms_leave_rows_with_tools_out(calling: Any, tmp_path: Path) -> None:
    _, table, _ = calling
    report = check_rows(table)
    assert not [finding for finding in report if finding.check in ("pairs", "secrets")]
    with pytest.raises(DatasetError, match="no training row has the form of sharegpt"):
        export_sharegpt(table, tmp_path)


def test_calls_of_tools_that_were_refused_do_not_train(tmp_path: Path) -> None:
    path = tmp_path / "tools.py"
    path.write_text(TOOLS)

    def answer(request: Request) -> Any:
        if request.params.get("tools") and request.messages[-1]["role"] != "tool":
            return {"tool_calls": [{"name": "nothing", "arguments": {}}]}
        return "fine"

    built = build_sft([run(path, ScriptedModel(answer), supervised=False)], DatasetSettings(deduplicate=False))
    assert "tool_calls" not in built.table["kind"].to_pylist()
    assert built.report.dropped["calls of tools that were refused"] > 0
