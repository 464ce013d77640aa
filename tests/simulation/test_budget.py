import pytest

from autograms.errors import BudgetError
from autograms.models import OpenAIModel
from autograms.models.base import Reply, Request
from autograms.simulation import Simulator, plain_scenarios
from autograms.simulation.budget import Budget, Purse
from tests.simulation.conftest import CHATBOT, USERBOT, model_at

ASKED = Request("text", [{"role": "user", "content": "x" * 4000}])


def test_a_budget_says_what_it_is():
    assert str(Budget(usd=1.5, calls=10)) == "$1.5 (budget_usd) and 10 calls (budget_calls)"
    assert Budget(calls=0)
    assert not Budget()


def test_a_purse_counts_the_calls_under_way():
    purse = Purse(Budget(calls=2))
    assert purse.reserve(ASKED, "offline/demo") == 0.0
    assert purse.reserve(ASKED, "offline/demo") == 0.0
    assert purse.reserve(ASKED, "offline/demo") is None
    assert purse.empty


def test_a_purse_sets_money_aside_for_the_calls_under_way():
    purse = Purse(Budget(usd=0.001))
    first = purse.reserve(ASKED, "openai/gpt-4o-mini")
    assert first == pytest.approx((1337 * 0.15 + 150 * 0.6) / 1e6)
    while purse.reserve(ASKED, "openai/gpt-4o-mini") is not None:
        pass
    purse.settle(first, Reply("", "openai/gpt-4o-mini", 1000, 1, 0.0))
    assert purse.reserve(ASKED, "openai/gpt-4o-mini") is not None


def test_a_budget_in_dollars_wants_a_price():
    with pytest.raises(BudgetError, match="AUTOGRAMS_PRICES"):
        Purse(Budget(usd=1)).reserve(ASKED, "openai/of-my-own")


def simulate(load, model, **options):
    chatbot = load("bot", CHATBOT, model=model)
    userbot = load("user", USERBOT, model=model)
    return Simulator(chatbot, userbot, concurrency=2).run(plain_scenarios(10, num_turns=2, seed=0), **options)


def test_a_budget_that_is_spent_keeps_everything_and_a_later_run_goes_on(load, endpoint, tmp_path):
    journal = tmp_path / "calls.journal"
    model = model_at(endpoint.url)
    first = simulate(load, model, journal=journal, budget=Budget(calls=25))
    assert endpoint.stats()["requests"] == first.progress.paid == first.progress.calls == 25
    assert {memory.status for memory in first.memories} == {"completed", "truncated"}
    assert first.progress.truncated == sum(memory.status == "truncated" for memory in first.memories)
    unfinished = next(memory for memory in first.memories if memory.status == "truncated")
    assert (unfinished.error, unfinished.error_side) == ("BudgetError", None)
    assert "25 calls (budget_calls)" in unfinished.error_message
    second = simulate(load, model, journal=journal)
    assert {memory.status for memory in second.memories} == {"completed"}
    assert endpoint.stats()["requests"] == 60


def test_conversations_that_cost_nothing_finish_without_a_budget(load, endpoint):
    model = model_at(endpoint.url)
    first = simulate(load, model)
    again = simulate(load, model, previous=first.memories, budget=Budget(calls=0))
    assert again.progress.reused == 60
    assert {memory.status for memory in again.memories} == {"completed"}


def test_a_program_cannot_swallow_the_end_of_the_budget(load, endpoint):
    body = """
    def chatbot():
        while True:
            try:
                reply_instruction("Answer.")
            except Exception:
                reply("never mind")
    """
    chatbot = load("bot", body, model=model_at(endpoint.url))
    userbot = load("user", USERBOT, model=model_at(endpoint.url))
    (memory,) = (
        Simulator(chatbot, userbot).run(plain_scenarios(1, num_turns=3, seed=0), budget=Budget(calls=2)).memories
    )
    assert memory.status == "truncated"
    assert "never mind" not in str(memory.transcript())


def test_dollars_are_not_overspent(load, endpoint):
    model = OpenAIModel("gpt-4o-mini", base_url=endpoint.url, api_key="none")
    spent = simulate(load, model, budget=Budget(usd=0.0005)).progress
    assert 0 < spent.cost_usd <= 0.0005
    assert spent.truncated > 0


def test_branches_stop_together(load, endpoint):
    body = """
    def think(number):
        return silent_thought(f"Think of {number}.")

    @autograms_function()
    def chatbot():
        while True:
            reply(str(parallel_wrapper(think, [{"number": number} for number in range(4)])))
    """
    model = model_at(endpoint.url)
    userbot = load("user", USERBOT, model=model)
    (memory,) = (
        Simulator(load("bot", body, model=model), userbot)
        .run(plain_scenarios(1, num_turns=1, seed=0), budget=Budget(calls=6))
        .memories
    )
    assert memory.status == "truncated"
    assert endpoint.stats()["requests"] <= 6
