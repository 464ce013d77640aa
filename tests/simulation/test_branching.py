import pytest

from autograms.errors import DivergenceError, RecordError, SettingsError
from autograms.models import ScriptedModel
from autograms.simulation import Simulator, plain_scenarios
from autograms.simulation.branching import Branches, branch_points
from autograms.simulation.budget import Budget
from tests.simulation.conftest import USERBOT, model_at

BOT = """
@autograms_function()
def chatbot():
    set_system_prompt("You sell tea.")
    while True:
        if yes_or_no("Is the customer content?"):
            thought("Why?")
        reply_instruction("Answer the customer.")
"""


class Counting:
    """Answers with the number of the call, and decides yes."""

    def __init__(self):
        self.calls = 0

    def __call__(self, request):
        self.calls += 1
        return "Yes" if request.kind == "choice" else f"answer {self.calls}, seed {request.params.get('seed')}"


@pytest.fixture
def simulator(load):
    def simulator(model, body=BOT, **options):
        return Simulator(load("bot", body, model=model), load("user", USERBOT, model=ScriptedModel()), **options)

    return simulator


def said(memory):
    return [turn["content"] for turn in memory.transcript()]


@pytest.mark.parametrize(
    ("at", "points"),
    [
        ("reply_instruction", [2]),
        ("reply_instruction#2", [5]),
        ("reply_instruction#-1", [8]),
        ("reply_instruction#*", [2, 5, 8]),
        ("reply_instruction#4", []),
        ("turn#2", [3]),
        ("turn#*", [0, 3, 6]),
        ("generate_list", []),
    ],
)
def test_branch_points(simulator, at, points):
    (memory,) = simulator(ScriptedModel(Counting())).run(plain_scenarios(1, num_turns=2, seed=0)).memories
    assert branch_points(memory, at) == points


@pytest.mark.parametrize("at", ["reply#0", "reply#x", "turn#1.5"])
def test_a_wrong_branch_point_is_named(at):
    with pytest.raises(SettingsError, match="expected a primitive or 'turn'"):
        Branches(at, 2)


def test_continuations_share_their_prefix_and_pay_for_the_rest(simulator):
    model = ScriptedModel(Counting())
    simulation = simulator(model, branches=Branches("reply_instruction#2", 2)).run(
        plain_scenarios(1, num_turns=2, seed=0)
    )
    first, *others = simulation.memories
    assert [memory.branch for memory in others] == ["5.1", "5.2"]
    assert {memory.scenario for memory in simulation.memories} == {first.scenario}
    assert all(said(memory)[:2] == said(first)[:2] for memory in others)
    assert len({said(memory)[2] for memory in simulation.memories}) == 3
    assert (simulation.progress.paid, simulation.progress.reused) == (9 + 2 * 4, 2 * 5)
    assert (simulation.progress.total, simulation.progress.finished) == (3, 3)


def test_a_continuation_has_another_seed_at_the_branch_alone(simulator):
    model = ScriptedModel(Counting())
    simulator(model, branches=Branches("reply_instruction", 2)).run(plain_scenarios(1, num_turns=1, seed=0))
    assert [request.params.get("seed") for request in model.requests if "seed" in request.params] == [1, 2]


def test_programs_draw_other_numbers_behind_the_branch_and_the_same_before(simulator):
    model = ScriptedModel(lambda request: "Yes" if request.kind == "choice" else "the same")
    run = simulator(model, branches=Branches("reply_instruction#2", 3)).run(plain_scenarios(1, num_turns=3, seed=0))
    users = [[turn.content for turn in memory.turns if turn.role == "user" and turn.content] for memory in run.memories]
    assert len({texts[0] for texts in users}) == 1
    assert len({texts[2] for texts in users}) > 1


def test_branches_are_not_paid_twice(simulator, tmp_path):
    def simulate(outputs, **known):
        branches = Branches("reply_instruction", 2)
        return simulator(ScriptedModel(outputs), branches=branches).run(
            plain_scenarios(2, num_turns=1, seed=0), **known
        )

    journal = tmp_path / "calls.journal"
    first = simulate(Counting(), journal=journal)
    for known in ({"previous": first.memories}, {"journal": journal}):
        again = simulate([], **known)
        assert again.progress.paid == 0
        assert [said(memory) for memory in again.memories] == [said(memory) for memory in first.memories]


def test_another_model_goes_on(simulator):
    other = ScriptedModel(lambda request: "No" if request.kind == "choice" else "other", name="scripted/other")
    branches = Branches("reply_instruction", 1, model=other)
    _, made = (
        simulator(ScriptedModel(Counting()), branches=branches).run(plain_scenarios(1, num_turns=1, seed=0)).memories
    )
    assert made.branch == "2.1@scripted/other"
    assert [call.model for call in made.calls] == ["scripted/model"] * 2 + ["scripted/other"] * 3
    assert len(other.requests) == 3


def test_other_answers_go_on(simulator):
    branches = Branches("yes_or_no", 1, answers=("No",))
    memories = (
        simulator(ScriptedModel(Counting()), branches=branches).run(plain_scenarios(1, num_turns=1, seed=0)).memories
    )
    assert [call.primitive for call in memories[0].calls][:3] == ["yes_or_no", "thought", "reply_instruction"]
    assert [call.primitive for call in memories[1].calls][:2] == ["yes_or_no", "reply_instruction"]
    assert memories[1].calls[0].output == "No"


def test_as_many_answers_as_branches():
    with pytest.raises(SettingsError, match="2 answers for n = 3"):
        Branches("yes_or_no", 3, answers=("No", "Yes"))


def test_saved_memories_are_branched(simulator, endpoint):
    first = simulator(model_at(endpoint.url)).run(plain_scenarios(3, num_turns=2, seed=0))
    before = endpoint.stats()["requests"]
    branches = Branches("reply_instruction#-1", 4)
    made = simulator(model_at(endpoint.url)).branch(first.memories, branches)
    assert [memory.status for memory in made.memories] == ["completed"] * 12
    assert endpoint.stats()["requests"] - before == made.progress.paid == 12
    again = simulator(model_at(endpoint.url)).branch(first.memories, branches, previous=made.memories)
    assert again.progress.paid == 0


def test_a_budget_holds_for_branches(simulator, endpoint):
    first = simulator(model_at(endpoint.url)).run(plain_scenarios(2, num_turns=1, seed=0))
    made = simulator(model_at(endpoint.url)).branch(
        first.memories, Branches("reply_instruction#1", 3), budget=Budget(calls=4)
    )
    assert made.progress.paid == 4
    assert "truncated" in {memory.status for memory in made.memories}


def test_a_program_that_changed_before_the_branch_is_told(simulator, endpoint):
    first = simulator(model_at(endpoint.url)).run(plain_scenarios(1, num_turns=1, seed=0))
    changed = simulator(model_at(endpoint.url), BOT.replace("You sell tea.", "You sell coffee."))
    (made,) = changed.branch(first.memories, Branches("reply_instruction#2", 1)).memories
    assert (made.status, made.error) == ("failed", DivergenceError.__name__)
    assert "simulate it again first" in made.error_message


def test_calls_that_cannot_be_branched_are_told(simulator):
    first = simulator(ScriptedModel(Counting())).run(plain_scenarios(1, num_turns=1, seed=0))
    with pytest.raises(SettingsError, match="calls to branch at: reply_instruction, thought, yes_or_no"):
        simulator(ScriptedModel()).branch(first.memories, Branches("generate_list", 1))


def test_a_conversation_outside_simulations_cannot_be_branched(simulator, load):
    bot = load("bot", BOT, model=ScriptedModel(Counting()))
    _, memory = bot.reply(None)
    with pytest.raises(RecordError, match="not simulated"):
        simulator(ScriptedModel()).branch([memory], Branches("reply_instruction", 1))
