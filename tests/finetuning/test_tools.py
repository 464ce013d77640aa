"""The embedded student learns to call tools, and to answer by what they give, in the deployed program."""

import json

import pytest

from autograms import Autogram
from autograms.datasets import build_sft
from autograms.evaluation.answers import answer_with
from autograms.evaluation.rows import held_out
from autograms.finetuning import train_sft
from autograms.models import CheckpointModel, ScriptedModel
from autograms.settings import DatasetSettings, SftRecipe
from autograms.simulation import Simulator, plain_scenarios
from tests.programs import write

STOCK = {"lamp": 3, "kettle": 0, "chair": 12, "radio": 5, "tent": 1, "sofa": 7}
CHATBOT = f"""
def stock(product: str) -> dict:
    return {{"product": product, "count": {STOCK!r}[product]}}

@autograms_function()
def chatbot():
    reply("Hello.")
    while True:
        reply_instruction("Answer.", tools=[stock])
"""
USERBOT = f"""
ASKS = ["Is there a %s left?", "Do you have a %s?", "I want a %s.", "How many of the %s?"]

@autograms_function()
def chatbot():
    while True:
        reply(random.choice(ASKS) % random.choice({sorted(STOCK)!r}))
"""


def teach(request):
    last = request.messages[-1]
    if last["role"] == "tool":
        found = json.loads(last["content"])
        return f"There are {found['count']} of the {found['product']}."
    product = next(product for product in STOCK if product in last["content"])
    return {"tool_calls": [{"name": "stock", "arguments": {"product": product}}]}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_student_calls_tools_in_the_deployed_program(tmp_path):
    bots = {name: write(text, tmp_path, name) for name, text in (("bot", CHATBOT), ("user", USERBOT))}
    userbot = Autogram.from_file(bots["user"], model=ScriptedModel())
    teacher = Autogram.from_file(bots["bot"], model=ScriptedModel(teach))
    taught = Simulator(teacher, userbot).run(plain_scenarios(100, num_turns=2, seed=1))
    assert {memory.status for memory in taught.memories} == {"completed"}
    table = build_sft(taught.memories, DatasetSettings()).table
    train_sft(table, SftRecipe(max_steps=110), tmp_path / "sft", name="stock")

    rows = held_out(table, "sft", limit=40, seed=0)
    assert {row.kind for row in rows} == {"text", "tool_calls"}
    answers = answer_with(tmp_path / "sft", rows, max_new_tokens=60, batch_size=32).texts
    calls = [answer.startswith("calls stock(product=") for answer in answers]
    assert calls == [row.kind == "tool_calls" for row in rows]  # when to call, and when to answer
    right = [answer == row.expected for answer, row in zip(answers, rows, strict=True)]
    assert sum(right) >= 0.3 * len(rows)

    student = Autogram.from_file(bots["bot"], model=CheckpointModel(tmp_path / "sft"))
    deployed = Simulator(student, userbot).run(plain_scenarios(10, num_turns=1, seed=99))
    called = [any("tool_calls" in turn for turn in memory.transcript()) for memory in deployed.memories]
    assert sum(called) >= 8, [memory.error_message for memory in deployed.memories]
