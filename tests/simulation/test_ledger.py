"""What is counted and what is within the budget, where it is easy to get wrong."""

import pytest

from autograms.models import Reply
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
