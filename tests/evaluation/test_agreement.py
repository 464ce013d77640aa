from __future__ import annotations

from autograms.conversation.record import Memory, Turn
from autograms.evaluation.agreement import agreement, said


def talk(scenario: str, *texts: str, status: str = "completed") -> Memory:
    turns = [Turn("user", "Hello", 0), *(Turn("assistant", text, 0) for text in texts)]
    return Memory("desk", scenario, status=status, turns=turns)


def test_what_the_chatbot_said_leaves_the_user_out() -> None:
    assert said(talk("a", "one", "two")) == ["one", "two"]


def test_conversations_agree_word_for_word_or_not() -> None:
    supervised = [talk("a", "one"), talk("b", "one", "two"), talk("c", "one"), talk("d", "one")]
    found = agreement(
        [talk("a", "one"), talk("b", "one"), talk("c", "One"), talk("d", "one", status="failed")], supervised, seed=0
    )
    assert found is not None
    assert (found.value, found.count) == (0.25, 4)
    assert found.low <= 0.25 <= found.high


def test_scenarios_without_a_supervised_conversation_are_left_out() -> None:
    supervised = [talk("a", "one"), talk("b", "one", status="failed"), talk("c")]
    found = agreement([talk("a", "one"), talk("b", "one"), talk("c"), talk("z", "one")], supervised, seed=0)
    assert found is not None
    assert (found.value, found.count) == (1.0, 1)


def test_nothing_to_compare_is_no_figure() -> None:
    assert agreement([talk("a", "one")], [], seed=0) is None
