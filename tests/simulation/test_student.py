import pytest

from autograms.errors import CredentialsError
from autograms.models import ScriptedModel
from autograms.simulation import Simulator, plain_scenarios
from autograms.simulation.budget import Budget
from tests.simulation.conftest import USERBOT, model_at

BOT = """
def formal(instruction):
    return SupervisorReturn("Dear customer.", rejected_output="yo")

def sure(question):
    return True

@autograms_function()
def chatbot():
    while True:
        if yes_or_no("Is it about tea?", supervisor=sure):
            reply_instruction("Answer.", supervisor=formal)
        else:
            reply_instruction("Ask what it is about.")
"""


@pytest.fixture
def simulate(load):
    def simulate(student, scenarios=1, branches=None, **options):
        chatbot = load("bot", BOT, model=ScriptedModel(), supervisor_mode=True)
        userbot = load("user", USERBOT, model=ScriptedModel())
        simulator = Simulator(chatbot, userbot, student=student, branches=branches)
        return simulator.run(plain_scenarios(scenarios, num_turns=1, seed=0), **options)

    return simulate


def student(text="hi", choice="Yes"):
    return ScriptedModel(lambda request: choice if request.kind == "choice" else text, name="scripted/student")


def test_the_student_is_asked_what_the_supervisor_answered(simulate):
    model = student()
    (memory,) = simulate(model).memories
    chosen = [call for call in memory.calls if call.supervised]
    assert [call.rejected for call in chosen] == [(), ("yo", "hi"), (), ("yo", "hi")]
    assert [request.messages for request in model.requests] == [memory.prompt_messages(call.prompt) for call in chosen]
    assert [request.choices for request in model.requests] == [call.choices for call in chosen]


def test_the_students_calls_are_recorded_and_train_nothing(simulate):
    (memory,) = simulate(student()).memories
    calls = [call for call in memory.calls if call.side == "student"]
    assert [(call.model, call.parent, call.output) for call in calls[:2]] == [
        ("scripted/student", 0, "Yes"),
        ("scripted/student", 1, "hi"),
    ]
    assert not any(call.trains for call in calls)


def test_an_answer_like_the_supervisors_is_not_rejected(simulate):
    (memory,) = simulate(student("Dear customer.")).memories
    assert memory.calls[1].rejected == ("yo",)


def test_an_answer_of_no_choice_is_recorded_and_not_rejected(simulate):
    (memory,) = simulate(student(choice="perhaps")).memories
    assert memory.calls[0].rejected == ()
    asked = next(call for call in memory.calls if call.side == "student")
    assert asked.output == "perhaps"
    assert asked.error.startswith("OutputError")


def test_the_student_is_not_paid_twice(simulate, tmp_path):
    journal = tmp_path / "calls.journal"
    first = simulate(student(), 2, journal=journal)
    assert first.progress.paid == 8
    for known in ({"previous": first.memories}, {"journal": journal}):
        again = simulate(ScriptedModel(name="scripted/student"), 2, **known)
        assert again.progress.paid == 0
        assert [call.rejected for call in again.memories[0].calls] == [
            call.rejected for call in first.memories[0].calls
        ]


def test_the_budget_holds_for_the_student(simulate):
    simulation = simulate(student(), budget=Budget(calls=2))
    assert (simulation.memories[0].status, simulation.progress.paid) == ("truncated", 2)


def test_a_student_that_cannot_be_asked_fails_the_conversation_alone(simulate, endpoint):
    endpoint.script(failures=[{"status": 400, "first": 1, "message": "too long"}])
    simulation = simulate(model_at(endpoint.url), 3)
    assert sorted(memory.status for memory in simulation.memories) == ["completed", "completed", "failed"]
    failed = next(memory for memory in simulation.memories if memory.status == "failed")
    assert (failed.error, failed.error_side) == ("EndpointError", "student")


def test_a_student_without_a_key_ends_the_simulation(simulate, endpoint):
    endpoint.script(key="right")
    with pytest.raises(CredentialsError):
        simulate(model_at(endpoint.url))
