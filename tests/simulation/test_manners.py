"""Endpoint manners from the simulator's side: storms of refusals, one slow conversation, being stopped."""

import asyncio
import signal

from autograms.conversation.journal import read_journal
from autograms.models.base import Reply
from autograms.simulation import Simulator, plain_scenarios
from autograms.simulation.scenarios import scenarios_from_rows
from tests.simulation.conftest import CHATBOT, USERBOT, model_at
from tests.simulation.processes import start, wait_while_it_runs
from tests.simulation.test_simulator import PROGRAM


def simulate(load, model, scenarios, concurrency=64):
    userbot = load("user", USERBOT, model=model)
    return Simulator(load("bot", CHATBOT, model=model), userbot, concurrency=concurrency).run(scenarios)


def test_a_storm_of_refusals_loses_no_conversation(load, endpoint):
    endpoint.script(failures=[{"status": 429, "share": 0.2, "headers": {"Retry-After": "0.05"}}], latency=0.005)
    simulation = simulate(load, model_at(endpoint.url), plain_scenarios(40, num_turns=2, seed=0))
    assert {memory.status for memory in simulation.memories} == {"completed"}
    assert endpoint.stats()["statuses"]["200"] == simulation.progress.paid == 240


def test_an_endpoint_that_takes_few_at_once_gets_few(load, endpoint):
    endpoint.script(most_in_flight=4, latency=0.005)
    simulation = simulate(load, model_at(endpoint.url), plain_scenarios(30, num_turns=1, seed=0))
    assert {memory.status for memory in simulation.memories} == {"completed"}


class Slow:
    """Answers at once, but for one customer, who waits until all calls of the others are answered."""

    name = "test/slow"

    def __init__(self, others):
        self.missing = others
        self.others_done = asyncio.Event()

    async def complete(self, request):
        if "Bo asks" in str(request.messages):
            await self.others_done.wait()
        else:
            self.missing -= 1
            if self.missing == 0:
                self.others_done.set()
        return Reply(request.choices[0] if request.choices else "fine", self.name)

    async def close(self):
        pass


def test_one_slow_conversation_holds_up_no_other(load):
    before_bo_speaks, calls_each = 2, 6
    model = Slow(19 * calls_each + before_bo_speaks)
    scenarios = scenarios_from_rows([{"user_kwargs": {"name": "Bo" if n == 0 else f"Ann {n}"}} for n in range(20)])
    simulation = simulate(load, model, scenarios, concurrency=4)
    assert {memory.status for memory in simulation.memories} == {"completed"}
    assert simulation.progress.paid == 20 * calls_each


def test_a_terminated_run_stops_soon_and_goes_on_later(write, endpoint, tmp_path):
    write("bot", CHATBOT)
    write("user", USERBOT)
    endpoint.script(failures=[{"status": "hang", "after": 60}])
    process = start(PROGRAM, tmp_path, endpoint.url)
    wait_while_it_runs(process, lambda: endpoint.stats()["requests"] == 60 + 8)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)  # what is in flight is never answered: nobody has waited for it
    kept = len(list(read_journal(tmp_path / "journal.jsonl")))
    assert 60 - 8 <= kept <= 60
    endpoint.script()
    second = start(PROGRAM, tmp_path, endpoint.url)
    output, errors = second.communicate(timeout=60)
    assert second.returncode == 0, errors
    assert output.split() == [str(240 - kept), str(kept)]
