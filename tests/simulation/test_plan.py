import pytest

from autograms.errors import BudgetError
from autograms.models import OpenAIModel, Request, ScriptedModel
from autograms.models.base import identity_of
from autograms.models.openai import OPENAI_URL
from autograms.models.unasked import unasked_model
from autograms.simulation import Simulator, plain_scenarios
from autograms.simulation.answers import request_key
from autograms.simulation.branching import Branches
from autograms.simulation.budget import Budget
from autograms.simulation.plan import Plan, ensure_within, plan
from autograms.simulation.scenarios import scenarios_from_rows
from tests.simulation.conftest import CHATBOT, USERBOT, model_at

TEN = [f'    reply_instruction("Say {number}.")\n' for number in range(10)]
SCENARIOS = scenarios_from_rows([{"num_turns": 2, "chatbot_kwargs": {"topic": topic}} for topic in "ABCD"])


@pytest.fixture
def simulator(load):
    def simulator(model, chatbot=CHATBOT, userbot=USERBOT, **options):
        return Simulator(load("bot", chatbot, model=model, **options), load("user", userbot, model=model))

    return simulator


@pytest.fixture
def first(simulator, endpoint):
    endpoint.script(choice="first")
    return simulator(model_at(endpoint.url)).run(SCENARIOS)


@pytest.fixture
def unasked(endpoint):
    return unasked_model("openai/test-model", base_url=endpoint.url)


def test_nothing_is_stale_where_nothing_changed(simulator, first, unasked):
    found = plan(simulator(unasked), SCENARIOS, previous=first.memories)
    assert (found.conversations, found.stale, found.changed, found.calls, found.reused) == (4, 0, 0, 0, 24)
    assert found.reasons == {}


def test_a_plan_asks_nothing(simulator, first, endpoint):
    before = endpoint.stats()["requests"]
    plan(simulator(model_at(endpoint.url)), SCENARIOS, previous=first.memories, fresh=True)
    plan(simulator(model_at(endpoint.url)), SCENARIOS)
    assert endpoint.stats()["requests"] == before


def test_an_edit_is_planned_as_it_is_paid(load, endpoint, unasked):
    def simulator(lines, model):
        body = "@autograms_function()\ndef chatbot():\n" + "".join(lines)
        userbot = load("user", 'def chatbot():\n    while True:\n        reply("go on")\n', model=model)
        return Simulator(load("bot", body, model=model), userbot)

    scenarios = plain_scenarios(4, num_turns=9, seed=0)
    first = simulator(TEN, model_at(endpoint.url)).run(scenarios)
    last = [*TEN[:-1], '    reply_instruction("Say goodbye.")\n']
    middle = [*TEN[:5], '    reply_instruction("Say half.")\n', *TEN[6:]]
    for lines, paid in ((last, 4), (middle, 20)):
        found = plan(simulator(lines, unasked), scenarios, previous=first.memories)
        assert (found.stale, found.calls, found.reasons) == (4, paid, {"autogram": 4})
        again = simulator(lines, model_at(endpoint.url)).run(scenarios, previous=first.memories)
        assert (again.progress.paid, again.progress.reused) == (found.calls, found.reused)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"chatbot": CHATBOT.replace("You sell", "You gladly sell")}, "autogram"),
        ({"userbot": USERBOT.replace("asks question", "wonders")}, "userbot"),
        ({"model": unasked_model("openai/another")}, "model"),
        ({"chatbot": CHATBOT.replace("customer content?", 'customer content?", temperature=0.5, stop="x')}, "settings"),
    ],
)
def test_the_reason_is_told(simulator, first, change, reason, unasked):
    found = plan(simulator(**{"model": unasked, **change}), SCENARIOS, previous=first.memories)
    assert found.reasons == {reason: 4}
    assert found.calls > 0


def test_going_back_to_a_model_is_told_as_such(simulator, tmp_path):
    journal = tmp_path / "calls.journal"
    one, other = (
        ScriptedModel(lambda request, name=name: request.choices[0] if request.choices else f"{name} says", name=name)
        for name in ("scripted/one", "scripted/other")
    )
    simulator(one).run(SCENARIOS, journal=journal)
    second = simulator(other).run(SCENARIOS, journal=journal)
    found = plan(simulator(one), SCENARIOS, journal=journal, previous=second.memories)
    assert (found.changed, found.calls, found.reasons) == (4, 0, {"model": 4})


def test_new_scenarios_are_told(simulator, first, unasked):
    more = scenarios_from_rows([{"num_turns": 2, "chatbot_kwargs": {"topic": topic}} for topic in "ABCDE"])
    found = plan(simulator(unasked), more, previous=first.memories)
    assert (found.stale, found.calls, found.reused, found.reasons) == (1, 6, 24, {"scenario": 1})


@pytest.mark.parametrize(("before", "after"), [(1, 2), (1, 4), (4, 2)])
def test_other_turns_are_planned_as_they_are_paid(simulator, endpoint, unasked, before, after):
    earlier, scenarios = (
        scenarios_from_rows([{"chatbot_kwargs": {"topic": topic}} for topic in "ABCD"], num_turns=turns)
        for turns in (before, after)
    )
    model = model_at(endpoint.url)
    first = simulator(model).run(earlier)
    edited = CHATBOT.replace("You sell", "You gladly sell")
    for body in (CHATBOT, edited):
        found = plan(simulator(unasked, body), scenarios, previous=first.memories)
        made = simulator(model, body).run(scenarios, previous=first.memories)
        assert found.calls == pytest.approx(made.progress.paid, rel=0.1)
    new = scenarios_from_rows([{"chatbot_kwargs": {"topic": "E"}}], num_turns=after)
    found = plan(simulator(unasked), new, previous=first.memories)
    assert found.calls == pytest.approx(simulator(model).run(new).progress.paid, rel=0.1)


def test_more_turns_change_nothing_where_the_program_ends_before(simulator, endpoint, unasked):
    body = "def chatbot(topic):\n    reply_instruction('Hello.')\n    reply_instruction('Goodbye.')\n"
    few, many = (
        scenarios_from_rows([{"chatbot_kwargs": {"topic": topic}} for topic in "ABCD"], num_turns=n) for n in (5, 50)
    )
    first = simulator(model_at(endpoint.url), body).run(few)
    edited = body.replace("Hello", "Good day")
    found = plan(simulator(unasked, edited), many, previous=first.memories)
    made = simulator(model_at(endpoint.url), edited).run(many, previous=first.memories)
    assert (found.stale, found.calls) == (4, made.progress.paid)


def test_a_conversation_that_was_cut_short_is_told(simulator, endpoint, unasked):
    first = simulator(model_at(endpoint.url)).run(SCENARIOS, budget=Budget(calls=10))
    found = plan(simulator(unasked), SCENARIOS, previous=first.memories)
    assert sum(found.reasons.values()) == found.stale == 4
    assert set(found.reasons) <= {"not finished", "autogram"}


def test_fresh_pays_for_everything(simulator, first, unasked):
    found = plan(simulator(unasked), SCENARIOS, previous=first.memories, fresh=True)
    assert (found.stale, found.calls, found.reused, found.reasons) == (4, 24, 0, {"asked for again": 4})


def test_what_was_never_simulated_is_rehearsed(simulator):
    found = plan(simulator(unasked_model("openai/gpt-4o-mini")), SCENARIOS)
    assert (found.stale, found.calls, found.rehearsed) == (4, 24, 4)
    assert found.reasons == {"never simulated": 4}
    assert found.cost_usd > 0
    assert found.models == {"openai/gpt-4o-mini": 24}


def test_the_price_is_that_of_the_new_model(simulator, endpoint):
    cheap = OpenAIModel("gpt-4o-mini", base_url=endpoint.url, api_key="none")
    first = simulator(cheap).run(SCENARIOS)
    found = plan(simulator(unasked_model("openai/gpt-4o")), SCENARIOS, previous=first.memories)
    same = plan(simulator(cheap), SCENARIOS, previous=first.memories, fresh=True)
    assert same.cost_usd == pytest.approx(first.progress.cost_usd)
    assert found.cost_usd > 5 * same.cost_usd
    assert (found.calls, found.unpriced) == (24, 0)


def test_a_supervisor_that_changed_its_mind_costs_nothing(simulator):
    body = """
    def formal(instruction):
        return "Dear customer."

    def chatbot(topic):
        while True:
            reply_instruction("Answer.", supervisor=formal)
    """
    first = simulator(ScriptedModel(), body, supervisor_mode=True).run(SCENARIOS)
    found = plan(
        simulator(ScriptedModel(), body.replace("Dear", "Dearest"), supervisor_mode=True),
        SCENARIOS,
        previous=first.memories,
    )
    assert (found.stale, found.changed, found.calls, found.reasons) == (0, 4, 0, {"autogram": 4})


FAILING = """
def chatbot(topic):
    reply("Hello.")
    if topic in "AB":
        raise KeyError(topic)
    if topic == "C":
        GOTO("no" + topic)
    while True:
        reply("Go on.")
"""


def test_what_would_fail_is_told_apart(simulator):
    bot = simulator(ScriptedModel(), FAILING)
    scenarios = scenarios_from_rows([{"num_turns": 2, "chatbot_kwargs": {"topic": topic}} for topic in "ABCD"])
    found = plan(bot, scenarios)
    assert (found.changed, found.failing, found.stale, found.calls) == (1, 3, 0, 0)
    first = found.failures[0]
    assert (first.error, first.message, first.count) == ("KeyError", "'A'", 2)
    assert all(each.place and "bot.py:" in each.place for each in found.failures)
    rows = [much for what, much in found.rows() if what == "would fail"]
    assert [row.split(" of ")[0] for row in rows] == ["2: KeyError", "1: AddressError"]
    assert "'A'" in rows[0]
    assert "'A'" not in found.as_markdown()
    again = plan(bot, scenarios, previous=bot.run(scenarios).memories)
    assert (again.changed, again.failing) == (0, 3)


def test_a_program_that_cannot_begin_fails_everywhere(simulator):
    body = "def init_chatbot():\n    raise ValueError('no table')\n\ndef chatbot(topic):\n    reply('x')\n"
    found = plan(simulator(ScriptedModel(), body), SCENARIOS)
    assert [(each.error, each.count) for each in found.failures] == [("ValueError", 4)]


def test_rehearsals_that_fail_are_told(simulator, unasked):
    body = "def chatbot(topic):\n    reply_instruction('Hello.')\n    raise KeyError('x')\n"
    found = plan(simulator(unasked, body), SCENARIOS)
    assert (found.stale, found.failing, found.rehearsed) == (4, 0, 4)
    assert [(each.error, each.count) for each in found.rehearsal_failures] == [("KeyError", 4)]
    assert "failed of 4 rehearsed" in dict(found.rows())


def test_the_journal_counts(simulator, endpoint, tmp_path, unasked):
    journal = tmp_path / "calls.journal"
    simulator(model_at(endpoint.url)).run(SCENARIOS, journal=journal)
    assert plan(simulator(unasked), SCENARIOS, journal=journal).stale == 0


def test_a_step_is_not_taken_while_planning(simulator, tmp_path, unasked):
    body = f"""
    from pathlib import Path

    def chatbot(topic):
        step(Path({str(tmp_path / "taken")!r}).touch)
        reply_instruction("Answer.")
    """
    assert plan(simulator(unasked, body), SCENARIOS).stale == 4
    assert not (tmp_path / "taken").exists()


def test_an_init_that_asks_a_model_makes_everything_stale(simulator, unasked):
    body = """
    table = []

    def init_chatbot():
        table.extend(get_batch_embeddings(["a", "b"]))

    def chatbot(topic):
        reply_instruction("Answer.")
    """
    assert plan(simulator(unasked, body), SCENARIOS).stale == 4


def test_a_plan_is_a_table(simulator, first):
    text = plan(simulator(unasked_model("openai/another")), SCENARIOS, previous=first.memories).as_markdown()
    assert "| stale | 4 |" in text
    assert "| because of | model: 4 |" in text
    assert "| cost | price unknown by the prices of " in text


@pytest.mark.parametrize(
    ("stale", "changed", "text"),
    [(0, 0, "0"), (4, 0, "4"), (0, 4, "4, all at no cost"), (3, 4, "7, 4 of them at no cost")],
)
def test_what_costs_nothing_is_stale_too(stale, changed, text):
    assert dict(Plan("bot", stale=stale, changed=changed).rows())["stale"] == text


def test_an_estimate_above_the_budget_is_refused():
    estimated = Plan("bot", calls=100, cost_usd=2.0, models={"openai/gpt-4o": 100})
    ensure_within(estimated, Budget())
    ensure_within(estimated, Budget(usd=2.0, calls=100))
    for budget in (Budget(usd=1.9), Budget(calls=99)):
        with pytest.raises(BudgetError, match=r'nothing was spent.*: over_budget = "spend" in autograms\.toml$'):
            ensure_within(estimated, budget)
        with pytest.raises(BudgetError, match=r"until it is spent: --yes$"):
            ensure_within(estimated, budget, remedy="--yes")


def test_dollars_cannot_be_kept_without_a_price():
    estimated = Plan("bot", calls=1, unpriced=1, models={"openai/mine": 1})
    with pytest.raises(BudgetError, match=r"openai/mine.*AUTOGRAMS_PRICES"):
        ensure_within(estimated, Budget(usd=1))


SUPERVISED = """
def formal(instruction):
    return "Dear customer."

@autograms_function()
def chatbot(topic):
    while True:
        thought("Think.")
        reply_instruction("Answer.", supervisor=formal)
"""


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"student": ScriptedModel(lambda request: "hi", name="scripted/student")}, "student"),
        ({"branches": Branches("thought#2", 2)}, "branches"),
    ],
)
def test_what_the_student_and_branches_take_is_planned(load, extra, reason):
    def simulator(**extra):
        model = ScriptedModel(lambda request: f"answer {request.params.get('seed')}")
        chatbot = load("bot", SUPERVISED, model=model, supervisor_mode=True)
        return Simulator(chatbot, load("user", USERBOT, model=model), **extra)

    first = simulator().run(SCENARIOS)
    found = plan(simulator(**extra), SCENARIOS, previous=first.memories)
    assert (found.stale, found.reasons) == (4, {reason: 4})
    made = simulator(**extra).run(SCENARIOS, previous=first.memories)
    assert found.calls == made.progress.paid > 0
    again = plan(simulator(**extra), SCENARIOS, previous=made.memories)
    assert (again.stale, again.calls, again.reasons) == (0, 0, {})
    new = plan(simulator(**extra), SCENARIOS)
    assert new.calls >= first.progress.paid + made.progress.paid


def test_another_endpoint_is_another_model(simulator, first, endpoint):
    elsewhere = endpoint.url.replace("127.0.0.1", "localhost")
    found = plan(simulator(unasked_model("openai/test-model", base_url=elsewhere)), SCENARIOS, previous=first.memories)
    assert (found.stale, found.reused) == (4, 0)
    again = simulator(model_at(elsewhere)).run(SCENARIOS, previous=first.memories)
    assert (again.progress.paid, again.progress.reused) == (24, 0)


def test_answers_of_openai_itself_are_found_by_the_name_alone(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    request = Request("text", [{"role": "user", "content": "Hello."}])
    models = unasked_model("openai/small"), OpenAIModel("small"), OpenAIModel("small", base_url=OPENAI_URL)
    keys = {request_key("chatbot", request, identity_of(model)) for model in models}
    assert keys == {request_key("chatbot", request, "openai/small")}
