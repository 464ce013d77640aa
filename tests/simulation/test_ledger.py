"""What is counted and what is within the budget, where it is easy to get wrong."""

import subprocess
import sys

import pytest

from autograms.models import Reply, ScriptedModel
from autograms.simulation import Simulator, plain_scenarios
from autograms.simulation.budget import Budget
from tests.simulation.conftest import USERBOT


class Malformed:
    """A model that never answers in the form asked for, at half a dollar an answer."""

    name = "scripted/malformed"

    def __init__(self):
        self.asked = 0

    async def complete(self, request):
        self.asked += 1
        return Reply("perhaps", self.name, 10, 1, 0.5)

    async def close(self):
        pass


BODY = """
def chatbot():
    for _ in range(20):
        try:
            yes_or_no("Is it so?")
        except ValueError:
            pass
    reply("done")
"""


def test_answers_of_the_wrong_form_are_counted(load):
    model = Malformed()
    chatbot = load("bot", BODY, model=model)
    progress = (
        Simulator(chatbot, load("user", USERBOT, model=model)).run(plain_scenarios(1, num_turns=1, seed=0)).progress
    )
    assert progress.paid == model.asked == 40
    assert progress.cost_usd == 20.0


@pytest.mark.parametrize("budget", [Budget(usd=3.0), Budget(calls=6)])
def test_answers_of_the_wrong_form_are_within_the_budget(load, budget):
    model = Malformed()
    chatbot = load("bot", BODY, model=model)
    simulation = Simulator(chatbot, load("user", USERBOT, model=model)).run(
        plain_scenarios(1, num_turns=1, seed=0), budget=budget
    )
    assert simulation.memories[0].status == "truncated"
    assert model.asked <= 8


class Embedding(ScriptedModel):
    """A model with embeddings that are counted."""

    embedded = 0

    async def embed(self, texts, *, model=None):
        self.embedded += 1
        return [[0.0] for _ in texts]


@pytest.mark.parametrize("budget", [Budget(calls=3), Budget(usd=0.02 * 3 * 1000 / 1e6)])
def test_embeddings_are_within_the_budget(load, budget):
    model = Embedding([], name="openai/gpt-4o-mini")
    body = """
    def chatbot():
        for number in range(20):
            get_single_embedding(f"{number:04000}")
    """
    simulation = Simulator(load("bot", body, model=model), load("user", USERBOT, model=model)).run(
        plain_scenarios(1, num_turns=1, seed=0), budget=budget
    )
    assert simulation.memories[0].status == "truncated"
    assert 1 <= model.embedded <= 3


FULL_DISK = """
import resource, sys
from pathlib import Path
from autograms import Autogram
from autograms.errors import StorageError
from autograms.models import ScriptedModel
from autograms.simulation import Simulator, plain_scenarios

bot, user, journal = map(Path, sys.argv[1:])
model = ScriptedModel(["answer"] * 100)
simulator = Simulator(Autogram.from_file(bot, model=model), Autogram.from_file(user, model=model))
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    simulator.run(plain_scenarios(1, num_turns=9, seed=0), journal=journal)
except StorageError as error:
    print(len(model.requests), str(journal) in str(error))
"""


def test_a_journal_that_cannot_be_written_ends_the_simulation(write, tmp_path):
    body = """
    @autograms_function()
    def chatbot():
        for _ in range(10):
            try:
                reply_instruction("Answer.")
            except Exception:
                reply("never mind")
    """
    files = [write("bot", body), write("user", USERBOT), tmp_path / "calls.journal"]
    command = [sys.executable, "-c", FULL_DISK, *files]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1 True\n"
