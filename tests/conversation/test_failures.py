from __future__ import annotations

from dataclasses import dataclass

from autograms.conversation.failures import alike, most_frequent


@dataclass
class Row:
    error: str | None
    error_message: str | None = None
    error_place: str | None = None
    error_side: str | None = None


KEY = Row("KeyError", "'Ada'", "chatbots/bot.py:7", "chatbot")
OTHER = Row("KeyError", "'Alan'", "chatbots/bot.py:7", "chatbot")
ELSEWHERE = Row("KeyError", "'Ada'", "userbots/user.py:3", "user")


def test_the_same_error_at_the_same_line_is_alike_and_the_most_frequent_comes_first() -> None:
    found = alike([ELSEWHERE, KEY, OTHER, KEY])
    assert [(each.count, each.told()) for each in found] == [
        (3, "KeyError of the chatbot at chatbots/bot.py:7: 'Ada'"),
        (1, "KeyError of the userbot at userbots/user.py:3: 'Ada'"),
    ]


def test_what_they_said_can_be_left_out() -> None:
    assert most_frequent(alike([KEY, ELSEWHERE]), quoting=False) == (
        "KeyError of the chatbot at chatbots/bot.py:7 (1); KeyError of the userbot at userbots/user.py:3 (1)"
    )


def test_the_rarest_are_counted_alone() -> None:
    assert most_frequent(alike([KEY, ELSEWHERE, Row("EndpointError", "EndpointError")]), most=1).endswith(
        "'Ada' (1); and 2 more"
    )


def test_little_may_be_known() -> None:
    assert alike([Row(None)])[0].told() == "failed"
