"""Calls through the batch API: waves, restarts, faults, prices. What is counted is counted at the endpoint."""

import asyncio
import json
import signal
from textwrap import dedent

import pytest

from autograms.conversation.journal import read_journal
from autograms.errors import CredentialsError, EndpointError, SettingsError
from autograms.models import OpenAIModel, RetryPolicy, ScriptedModel
from autograms.models.batches import BatchApi
from autograms.models.unasked import unasked_model
from autograms.simulation import Simulator, plain_scenarios
from autograms.simulation.branching import Branches
from autograms.simulation.budget import Budget
from autograms.simulation.in_flight import cancel_batches
from autograms.simulation.plan import plan
from autograms.simulation.ray_engine import RayEngine
from autograms.simulation.scenarios import scenarios_from_rows
from tests.endpoint import Endpoint
from tests.simulation.conftest import CHATBOT, USERBOT, model_at
from tests.simulation.processes import start, wait_while_it_runs
from tests.simulation.test_simulator import without_times
from tests.simulation.test_tools import CHATBOT as WITH_TOOLS
from tests.simulation.test_tools import RULES

ASKING_USER = """
@autograms_function()
def chatbot(name="Ann"):
    while True:
        reply_instruction(f"Ask question {random.randint(1, 1000)} as {name}.")
"""
THOROUGH = """
def polite(instruction):
    draft = silent_thought(f"{instruction} Draft it.")
    return SupervisorReturn(silent_thought(f"Say it politely: {draft}"), rejected_output=draft)

@autograms_function()
def chatbot(topic="tea"):
    set_system_prompt(f"You sell {topic}.")
    while True:
        if yes_or_no("Is the customer content?"):
            names = generate_list("Name what they bought.")
            reply_instruction(f"Thank the customer for {names}.", supervisor=polite)
        else:
            reply_instruction("Answer the customer.")
"""
CALLS = 6
"""Calls of a conversation between CHATBOT and USERBOT with two user turns: three decisions and three replies."""


@pytest.fixture
def model(endpoint):
    return OpenAIModel("test-model", base_url=endpoint.url, retry=RetryPolicy(3, first_wait=0.01, longest_wait=0.02))


@pytest.fixture
def simulate(load, model, tmp_path):
    """Simulate through batches, unless told otherwise, with a journal."""

    def simulate(scenarios=4, bot=CHATBOT, user=USERBOT, model=model, user_model=None, turns=2, **options):
        if isinstance(scenarios, int):
            scenarios = plain_scenarios(scenarios, num_turns=turns, seed=0)
        of_simulator = {"batch": True, "batch_poll_seconds": 0.02, "concurrency": 1}
        of_simulator |= {name: options.pop(name) for name in ("batch", "student", "branches") if name in options}
        chatbot = load("bot", bot, model=model, supervisor_mode=True)
        userbot = load("user", user, model=user_model or model)
        options.setdefault("journal", tmp_path / "calls.journal")
        return Simulator(chatbot, userbot, **of_simulator).run(scenarios, **options)

    return simulate


def made(endpoint):
    return [batch["requests"] for batch in endpoint.stats()["batches"]["made"]]


def without_costs(memories):
    for memory in without_times(memories):
        for call in memory.calls:
            call.cost_usd = None
    return memories


# --------------------------------------------------------------------------------------------------------------- waves


def test_all_conversations_advance_in_waves_whatever_the_concurrency(simulate, endpoint, tmp_path):
    simulation = simulate(10)
    assert {memory.status for memory in simulation.memories} == {"completed"}
    assert made(endpoint) == [10] * CALLS
    assert endpoint.stats()["requests"] == simulation.progress.paid == 10 * CALLS
    assert simulation.progress.batches == ""
    assert not (tmp_path / "calls.batches").exists()


def test_memories_are_those_of_calls_that_are_sent_at_once(simulate, endpoint, tmp_path):
    made = []
    for batch in (True, False):
        endpoint.script(choice="hash")
        journal = tmp_path / f"{batch}.journal"
        made.append(simulate(12, THOROUGH, ASKING_USER, turns=3, batch=batch, journal=journal).memories)
    assert any(call.kind == "object" for memory in made[0] for call in memory.calls)
    assert any(call.supervised for memory in made[0] for call in memory.calls)
    assert [memory.to_dict() for memory in without_costs(made[0])] == [
        memory.to_dict() for memory in without_costs(made[1])
    ]


def test_a_wave_holds_the_calls_of_both_sides(simulate, endpoint):
    endpoint.script(record=True)
    rows = [{"user_goes_first": first, "num_turns": 1} for first in (True, False, True)]
    simulate(scenarios_from_rows(rows), user=ASKING_USER)
    first = json.dumps([request["body"]["messages"] for request in endpoint.requests()[:3]])
    assert made(endpoint)[0] == 3
    assert (first.count("Ask question"), first.count("Is the customer content?")) == (2, 1)


def test_models_have_batches_of_their_own_in_the_same_wave(simulate, endpoint):
    other = OpenAIModel("other-model", base_url=endpoint.url)
    rows = [{"user_goes_first": first, "num_turns": 1} for first in (True, False)]
    simulate(scenarios_from_rows(rows), user=ASKING_USER, user_model=other)
    assert made(endpoint)[:2] == [1, 1]


def test_each_endpoint_has_its_own_batches(simulate, endpoint):
    elsewhere = Endpoint()
    try:
        user = OpenAIModel("test-model", base_url=elsewhere.url)
        simulation = simulate(3, user=ASKING_USER, user_model=user)
        assert {memory.status for memory in simulation.memories} == {"completed"}
        assert (made(endpoint), made(elsewhere)) == ([3] * 6, [3] * 2)
    finally:
        elsewhere.stop()


def test_a_program_inside_a_program_waits_too(simulate, endpoint):
    body = """
    from autograms import Autogram

    def inner_bot():
        reply_instruction("Say something deep.")

    inner = Autogram(inner_bot, model=MODEL)

    @autograms_function()
    def chatbot():
        while True:
            text, _ = inner.reply()
            reply_instruction(f"Say it otherwise: {text}")
    """
    source = f"from tests.simulation.conftest import model_at\nMODEL = model_at({endpoint.url!r})\n" + dedent(body)
    simulation = simulate(3, bot=source, turns=1)
    assert {memory.status for memory in simulation.memories} == {"completed"}
    assert made(endpoint) == [3] * 4


def test_a_model_without_an_endpoint_answers_as_ever(simulate, endpoint):
    user = ScriptedModel(lambda request: "What about my tea?")
    simulation = simulate(3, user=ASKING_USER, user_model=user)
    assert {memory.status for memory in simulation.memories} == {"completed"}
    assert made(endpoint) == [3] * CALLS


def test_a_wave_waits_for_steps_and_for_parallel_calls(simulate, endpoint):
    body = """
    import time

    def slow(number):
        time.sleep(0.2 * number)
        return number

    def think(number):
        return silent_thought(f"Think of {number}.")

    @autograms_function()
    def chatbot(number):
        step(slow, number)
        thoughts = parallel_wrapper(think, [{"number": n} for n in range(number + 1)])
        reply_instruction(f"Say {thoughts}.")
    """
    rows = [{"chatbot_kwargs": {"number": number}, "num_turns": 1} for number in (0, 1, 2)]
    simulation = simulate(scenarios_from_rows(rows), bot=body)
    assert {memory.status for memory in simulation.memories} == {"completed"}
    assert made(endpoint) == [1 + 2 + 3, 3]


def test_a_parallel_call_that_ends_the_others_leaves_nobody_waiting(simulate, endpoint):
    body = """
    def think(number):
        if number == 2:
            while True:
                silent_thought("Think on and on.")
        return silent_thought(f"Think of {number}.")

    @autograms_function()
    def chatbot():
        reply(str(parallel_wrapper(think, [{"number": n} for n in range(4)])))
        reply_instruction("Say more.")
    """
    budget = Budget(calls=9)
    simulation = simulate(2, bot=body, turns=1, budget=budget)
    assert {memory.status for memory in simulation.memories} == {"truncated"}
    assert endpoint.stats()["requests"] <= 9


def test_continuations_and_the_student_take_one_wave_each(simulate, endpoint):
    body = """
    def formal(instruction):
        return SupervisorReturn("Dear customer.", rejected_output="yo")

    @autograms_function()
    def chatbot():
        reply_instruction("Answer.", supervisor=formal)
        reply_instruction("Answer again.", supervisor=formal)
        reply_instruction("Say goodbye.")
    """
    student = OpenAIModel("student", base_url=endpoint.url)
    simulation = simulate(2, bot=body, student=student, branches=Branches("reply_instruction#-1", 3))
    assert len(simulation.memories) == 8
    assert made(endpoint) == [2, 4, 6]


def test_a_wave_that_a_batch_does_not_hold_is_split(simulate, endpoint, monkeypatch):
    monkeypatch.setattr("autograms.simulation.waves.MOST_REQUESTS", 4)
    simulate(10, turns=1)
    assert sorted(made(endpoint)[:3]) == [2, 4, 4]
    assert endpoint.stats()["requests"] == 40
    monkeypatch.setattr("autograms.simulation.waves.MOST_BYTES", 1)
    simulate(2, turns=1, fresh=True)
    assert made(endpoint)[-1] == 1


def test_progress_tells_of_the_waves(simulate, endpoint, monkeypatch):
    monkeypatch.setattr("autograms.simulation.simulator._REPORT_EVERY", 0.0)
    endpoint.script(batches={"looks": 3})
    seen = []
    simulate(4, turns=1, on_progress=lambda progress: seen.append(progress.batches))
    assert "wave 3: 4 calls, in progress 2/4" in seen


# ------------------------------------------------------------------------------------------------------------ restarts

PROGRAM = """
import sys
from pathlib import Path
from autograms import Autogram
from autograms.simulation import Simulator, plain_scenarios
from tests.simulation.conftest import model_at

folder, url = Path(sys.argv[1]), sys.argv[2]
model = model_at(url)
chatbot = Autogram.from_file(folder / "bot.py", model=model)
userbot = Autogram.from_file(folder / "user.py", model=model)
simulation = Simulator(chatbot, userbot, batch=True, batch_poll_seconds=0.02).run(
    plain_scenarios(20, num_turns=2, seed=0), journal=folder / "calls.journal"
)
print(simulation.progress.paid, simulation.progress.reused)
"""


@pytest.mark.parametrize("wave", [1, 3])
def test_kill_9_repeats_no_call(write, endpoint, tmp_path, wave):
    write("bot", CHATBOT)
    write("user", USERBOT)
    endpoint.script(batches={"looks": 6})
    process = start(PROGRAM, tmp_path, endpoint.url)
    wait_while_it_runs(process, lambda: len(made(endpoint)) >= wave)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    second = start(PROGRAM, tmp_path, endpoint.url)
    output, errors = second.communicate(timeout=60)
    assert second.returncode == 0, errors
    assert sum(map(int, output.split())) == 20 * CALLS
    assert endpoint.stats()["requests"] == 20 * CALLS
    assert made(endpoint) == [20] * CALLS


def test_ctrl_c_stops_soon_and_leaves_the_batch(write, endpoint, tmp_path):
    write("bot", CHATBOT)
    write("user", USERBOT)
    endpoint.script(batches={"looks": "never"})
    process = start(PROGRAM, tmp_path, endpoint.url)
    wait_while_it_runs(process, lambda: endpoint.stats()["batches"]["calls"].get("GET batches/ID"))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)  # the batch never ends: nobody has waited for it
    assert len(list((tmp_path / "calls.batches").glob("*.json"))) == 1
    assert endpoint.stats()["batches"]["made"][0]["status"] == "in_progress"


def interrupted(simulate, monkeypatch, place, before=True, **options):
    """Simulate, and interrupt at a request to the batch API, before or after it is made."""
    original = getattr(BatchApi, place)

    async def interrupt(self, *arguments):
        if not before:
            await original(self, *arguments)
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(3600)

    with monkeypatch.context() as patch:
        patch.setattr(BatchApi, place, interrupt)
        with pytest.raises(KeyboardInterrupt):
            simulate(**options)


@pytest.mark.parametrize(
    ("place", "before"),
    [
        ("upload", True),
        ("upload", False),
        ("create", True),
        ("create", False),
        ("look", True),
        ("answers", True),
        ("answers", False),
    ],
)
def test_an_interrupt_anywhere_repeats_no_call(simulate, endpoint, monkeypatch, place, before):
    interrupted(simulate, monkeypatch, place, before)
    simulation = simulate()
    assert {memory.status for memory in simulation.memories} == {"completed"}
    assert made(endpoint) == [4] * CALLS
    assert endpoint.stats()["requests"] == simulation.progress.paid == 4 * CALLS


class Killed(BaseException):
    """Ends a simulation where it stands."""


def test_answers_that_were_not_written_yet_are_taken_again(simulate, endpoint, monkeypatch, tmp_path):
    from autograms.conversation.journal import Journal

    written = []
    append = Journal.append

    def stop_after_two(self, entry):
        if len(written) == 2:
            raise Killed
        written.append(entry)
        append(self, entry)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", stop_after_two)
        with pytest.raises(BaseExceptionGroup):
            simulate()
    assert len(list(read_journal(tmp_path / "calls.journal"))) == 2
    simulation = simulate()
    assert simulation.progress.reused == 2
    assert made(endpoint)[:2] == [4, 2]  # two go on at once, two have their answers from the first batch
    assert endpoint.stats()["requests"] == 4 * CALLS


def test_what_a_budget_leaves_under_way_is_taken_by_a_later_run(simulate, endpoint, monkeypatch, tmp_path):
    interrupted(simulate, monkeypatch, "look")
    assert simulate(budget=Budget(calls=2)).progress.truncated == 4
    assert len(list((tmp_path / "calls.batches").glob("*.json"))) == 1
    assert simulate(budget=Budget(calls=2)).progress.paid == 2
    simulate()
    assert endpoint.stats()["requests"] == 4 * CALLS
    assert not (tmp_path / "calls.batches").exists()


def test_the_same_question_of_two_conversations_has_two_answers(simulate, endpoint, monkeypatch):
    body = '@autograms_function()\ndef chatbot():\n    reply_instruction("Say hello.")\n'
    rows = [{"seed": seed, "num_turns": 1} for seed in range(5)]
    interrupted(simulate, monkeypatch, "answers", scenarios=scenarios_from_rows(rows), bot=body)
    simulate(scenarios_from_rows(rows[2:]), bot=body)
    assert endpoint.stats()["requests"] == 5
    assert made(endpoint) == [5]


def test_a_wrong_answer_is_asked_again_in_the_next_wave_and_only_once(simulate, endpoint, monkeypatch):
    endpoint.script(answers=[{"last": "Is the customer content?", "answer": "perhaps"}])
    simulation = simulate(3, turns=1)
    assert {memory.error for memory in simulation.memories} == {"OutputError"}
    assert made(endpoint) == [3, 3]


def test_batches_that_nobody_asks_for_any_more_are_cancelled(simulate, endpoint, monkeypatch, tmp_path):
    endpoint.script(batches={"looks": 5})
    interrupted(simulate, monkeypatch, "look")
    body = 'def chatbot():\n    while True:\n        reply("something else")\n'
    simulate(bot=body)
    assert list((tmp_path / "calls.batches").glob("*.json")) != []  # no endpoint was asked: it is not known here
    endpoint_model = model_at(endpoint.url)
    assert endpoint_model.batches.endpoint == endpoint.url

    async def cancel():
        found = await cancel_batches(tmp_path / "calls.journal", [endpoint_model.batches])
        await endpoint_model.close()
        return found

    assert len(asyncio.run(cancel())) == 1
    assert [batch["status"] for batch in endpoint.stats()["batches"]["made"]] == ["cancelling"]
    simulate()
    assert made(endpoint)[1:] == [4] * CALLS
    assert not (tmp_path / "calls.batches").exists()


def test_an_edit_cancels_what_it_made_useless(simulate, endpoint, monkeypatch, tmp_path):
    endpoint.script(batches={"looks": 20})
    interrupted(simulate, monkeypatch, "look")
    simulate(bot='@autograms_function()\ndef chatbot():\n    reply_instruction("Something else.")\n')
    first, *others = endpoint.stats()["batches"]["made"]
    assert first["status"] == "cancelling"
    assert [batch["status"] for batch in others] == ["completed"]
    assert not (tmp_path / "calls.batches").exists()


def test_fresh_gives_up_what_is_under_way(simulate, endpoint, monkeypatch, tmp_path):
    endpoint.script(batches={"looks": 20})
    interrupted(simulate, monkeypatch, "look", turns=1)
    simulation = simulate(turns=1, fresh=True)
    first, *others = endpoint.stats()["batches"]["made"]
    assert first["status"] == "cancelling"
    assert [batch["requests"] for batch in others] == [4] * 4
    assert simulation.progress.paid == 16
    assert not (tmp_path / "calls.batches").exists()


def test_files_of_requests_that_a_kill_left_are_removed(simulate, endpoint, tmp_path):
    (tmp_path / "calls.batches").mkdir()
    for name in ("one.jsonl", ".one.jsonl.7.abc.tmp"):
        (tmp_path / "calls.batches" / name).write_text("{}")
    simulate()
    assert not (tmp_path / "calls.batches").exists()


def test_damaged_state_is_named(simulate, endpoint, tmp_path):
    (tmp_path / "calls.batches").mkdir()
    (tmp_path / "calls.batches" / "one.json").write_text("{")
    with pytest.raises(ValueError, match=r"one\.json.*remove the file"):
        simulate()


# -------------------------------------------------------------------------------------------------------------- faults


def test_a_lost_answer_to_the_creation_makes_no_second_batch(simulate, endpoint):
    endpoint.script(batches={"cut_off": 2})
    simulate(turns=1)
    assert made(endpoint) == [4] * 4


def test_failures_that_pass_are_tried_again(simulate, endpoint):
    endpoint.script(batches={"failures": [{"status": 503, "first": 2}]})
    simulation = simulate(turns=1)
    assert {memory.status for memory in simulation.memories} == {"completed"}
    assert made(endpoint) == [4] * 4


@pytest.mark.parametrize("status", [404, 405])
def test_an_endpoint_without_the_api_is_named(simulate, endpoint, status):
    endpoint.script(batches={"missing": status})
    with pytest.raises(EndpointError, match=rf"has no batch API \(POST files answered {status}\).*batch = false"):
        simulate()
    assert endpoint.stats()["requests"] == 0


def test_a_refused_key_ends_the_simulation(simulate, endpoint):
    endpoint.script(key="right")
    with pytest.raises(CredentialsError, match="refused the key"):
        simulate()


def test_a_batch_that_is_refused_ends_the_simulation_and_is_forgotten(simulate, endpoint, tmp_path):
    endpoint.script(batches={"fates": ["completed", "failed", "completed"]})
    with pytest.raises(
        EndpointError, match=r"refused the batch batch-2: 4 calls of test-model .*invalid_request.*line 1"
    ):
        simulate(turns=1)
    assert not (tmp_path / "calls.batches").exists()
    assert simulate(turns=1).progress.reused == 4
    assert endpoint.stats()["requests"] == 16


def test_a_short_queue_takes_smaller_batches_one_by_one(simulate, endpoint):
    endpoint.script(batches={"most": 3, "looks": 2})
    simulation = simulate(10, turns=1)
    assert {memory.status for memory in simulation.memories} == {"completed"}
    batches = endpoint.stats()["batches"]["made"]
    assert [batch["requests"] for batch in batches[:3]] == [10, 5, 2]
    assert all(batch["requests"] <= 2 for batch in batches[2:])
    assert endpoint.stats()["requests"] == 40


def test_a_queue_that_takes_nothing_is_an_error(simulate, endpoint):
    endpoint.script(batches={"fates": ["too_many_tokens"]})
    with pytest.raises(EndpointError, match="token_limit_exceeded"):
        simulate(3)
    assert endpoint.stats()["requests"] == 0


@pytest.mark.parametrize("fate", ["expired", "half"])
def test_what_an_expired_batch_left_goes_into_the_next_wave(simulate, endpoint, fate):
    endpoint.script(batches={"fates": [fate, "completed"]})
    simulation = simulate(turns=1)
    assert {memory.status for memory in simulation.memories} == {"completed"}
    assert endpoint.stats()["requests"] == simulation.progress.paid == 16


def test_calls_that_never_are_answered_fail_their_conversations(simulate, endpoint):
    endpoint.script(batches={"fates": ["expired"]})
    simulation = simulate(turns=1)
    (message,) = {memory.error_message for memory in simulation.memories}
    assert "did not answer in 3 batches, last: batch_expired" in message
    assert made(endpoint) == [4, 4, 4]


def test_a_refused_call_fails_its_conversation_as_it_does_when_sent_at_once(simulate, endpoint, tmp_path):
    scenarios = scenarios_from_rows([{"user_kwargs": {"name": name}} for name in ("Ann", "Bo", "Cy")])
    found = []
    for batch in (True, False):
        endpoint.script(failures=[{"status": 400, "contains": "Bo asks", "message": "no Bo here"}])
        memories = simulate(scenarios, batch=batch, journal=tmp_path / f"{batch}.journal").memories
        found.append([(memory.status, memory.error, memory.error_message) for memory in memories])
    assert found[0] == found[1]
    assert [status for status, *_ in found[0]] == ["completed", "failed", "completed"]


def test_calls_that_failed_for_a_passing_reason_go_into_the_next_wave(simulate, endpoint):
    endpoint.script(failures=[{"status": 500, "first": 3}])
    simulation = simulate(turns=1)
    assert {memory.status for memory in simulation.memories} == {"completed"}
    assert endpoint.stats()["statuses"] == {"200": 16, "500": 3}


def test_what_the_model_does_not_take_is_asked_otherwise_in_the_next_wave(simulate, endpoint):
    endpoint.script(response_format=False, choice="first")
    simulation = simulate(3, bot=THOROUGH, turns=1)
    # Without response_format the answer is a plain text, which is no JSON: the remedy was tried, and failed by itself.
    assert {memory.error for memory in simulation.memories} == {"OutputError"}
    assert endpoint.stats()["statuses"]["400"] == 3


def test_a_batch_that_others_cancel_ends_the_simulation_and_is_sent_again_later(simulate, endpoint):
    endpoint.script(batches={"fates": ["cancelled", "completed"]})
    with pytest.raises(EndpointError, match=r"batch-1: 4 calls .* was cancelled at the endpoint; simulate again"):
        simulate(turns=1)
    simulation = simulate(turns=1)
    assert {memory.status for memory in simulation.memories} == {"completed"}
    assert endpoint.stats()["requests"] == 16


def test_an_endpoint_that_is_away_for_long_ends_the_simulation_and_the_batch_goes_on(simulate, endpoint, monkeypatch):
    endpoint.script(batches={"looks": 2})
    original = BatchApi.look

    async def away(self, batch):
        raise EndpointError("away", 503)

    with monkeypatch.context() as patch:
        patch.setattr(BatchApi, "look", away)
        with pytest.raises(EndpointError, match=r"away\. The batch is kept: simulate again"):
            simulate(turns=1)
    assert BatchApi.look is original
    assert {memory.status for memory in simulate(turns=1).memories} == {"completed"}
    assert made(endpoint) == [4] * 4


def test_answers_that_the_endpoint_removed_are_named(simulate, endpoint, monkeypatch, tmp_path):
    async def gone(self, batch):
        raise EndpointError("gone", 404)

    monkeypatch.setattr(BatchApi, "answers", gone)
    with pytest.raises(EndpointError, match=r"gone\. It is the batch batch-1.*remove .*\.json to send its calls again"):
        simulate()
    assert len(list((tmp_path / "calls.batches").glob("*.json"))) == 1


def test_a_batch_that_the_endpoint_does_not_know_is_named(simulate, endpoint, monkeypatch, tmp_path):
    interrupted(simulate, monkeypatch, "look")
    endpoint.script()
    (file,) = (tmp_path / "calls.batches").glob("*.json")
    with pytest.raises(EndpointError, match=rf"No batch found.*remove .*{file.name}"):
        simulate()


# ------------------------------------------------------------------------------------------------- settings and prices


def test_batches_want_a_journal(simulate):
    with pytest.raises(SettingsError, match="journal"):
        simulate(journal=None)


def test_batches_and_an_engine_exclude_each_other(load, model, tmp_path):
    bot, user = load("bot", CHATBOT, model=model), load("user", USERBOT, model=model)
    simulator = Simulator(bot, user, batch=True, engine=RayEngine())
    with pytest.raises(SettingsError, match="leave one of the two out"):
        simulator.run(plain_scenarios(1, num_turns=1, seed=0), journal=tmp_path / "calls.journal")


def test_batches_cost_half(simulate, endpoint, load, tmp_path):
    model = OpenAIModel("gpt-4o-mini", base_url=endpoint.url)
    batched = simulate(model=model).progress
    at_once = simulate(model=model, batch=False, journal=tmp_path / "online.journal").progress
    assert 0 < batched.cost_usd == pytest.approx(at_once.cost_usd / 2)
    unasked = unasked_model("openai/gpt-4o-mini")
    planned = [
        plan(
            Simulator(load("bot", CHATBOT, model=unasked), load("user", USERBOT, model=unasked), batch=batch),
            plain_scenarios(3, num_turns=1, seed=0),
        )
        for batch in (True, False)
    ]
    assert 0 < planned[0].cost_usd == pytest.approx(planned[1].cost_usd / 2)
    assert "by the batch prices of" in dict(planned[0].rows())["cost"]


def test_a_budget_holds_in_waves_and_a_later_run_goes_on(simulate, endpoint):
    first = simulate(5, budget=Budget(calls=12))
    assert endpoint.stats()["requests"] == first.progress.paid == 12
    assert first.progress.truncated > 0
    second = simulate(5)
    assert {memory.status for memory in second.memories} == {"completed"}
    assert endpoint.stats()["requests"] == 5 * CALLS


def test_dollars_are_not_overspent_in_waves(simulate, endpoint):
    model = OpenAIModel("gpt-4o-mini", base_url=endpoint.url)
    spent = simulate(10, model=model, budget=Budget(usd=0.0003)).progress
    assert 0 < spent.cost_usd <= 0.0003
    assert spent.truncated > 0


def test_calls_with_tools_go_in_waves(simulate, endpoint, tmp_path):
    bodies = [WITH_TOOLS.format(runs=str(tmp_path / name)) for name in ("batched", "at once")]
    endpoint.script(answers=RULES)
    batched = simulate(3, bot=bodies[0], turns=2)
    assert {memory.status for memory in batched.memories} == {"completed"}
    assert made(endpoint) == [3] * 4
    at_once = simulate(3, bot=bodies[1], turns=2, batch=False, journal=tmp_path / "online.journal")
    assert [memory.to_dict() for memory in without_costs(batched.memories)] == [
        memory.to_dict() for memory in without_costs(at_once.memories)
    ]


def test_embeddings_are_sent_at_once(simulate, endpoint):
    body = """
    @autograms_function()
    def chatbot():
        vector = get_single_embedding("tea")
        reply_instruction(f"Answer with {len(vector)} words.")
    """
    simulate(2, bot=body, turns=1)
    assert made(endpoint) == [2]
    assert endpoint.stats()["requests"] == 4
