from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from autograms.conversation.record import Call, Memory, Prompt, Turn
from autograms.evaluation.comparison import render_comparison
from autograms.evaluation.metrics import Estimate


def talk(scenario: str, *texts: str, user: str = "Hi", **values: str) -> Memory:
    turns = [Turn("user", user, 0), *(Turn("assistant", text, 0) for text in texts)]
    return Memory("desk", scenario, turns=turns, **values)


class Page(HTMLParser):
    """Collects tags with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def with_class(self, name: str) -> int:
        return sum(name in (attributes.get("class") or "").split() for _, attributes in self.tags)


@pytest.fixture
def page() -> Page:
    conversations = {
        "base": [talk("s1", "qwrt zzz"), talk("s2", status="failed", error="OutputError", error_message="no choice")],
        "sft": [talk("s1", "Dear customer, soon."), talk("s2", "Of course.")],
        "dpo": [talk("s1", "Dear customer, soon."), talk("s2", "Of course not.")],
    }
    supervised = [talk("s1", "Dear customer, soon."), talk("s2", "Of course."), talk("s3", "never shown")]
    return Page(render_comparison("Evaluation of desk", conversations, supervised, verdict="It is better"))


def test_calls_of_tools_are_shown_and_not_compared() -> None:
    called = json.dumps(
        {
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"at": "<b>", "n": 2}'}}
            ],
        }
    )
    calls = [
        Call("reply_instruction", "tool_calls", Prompt(), called),
        Call("tool", "step", Prompt(), '"gone"'),
        Call("reply_instruction", "text", Prompt(), "Sold."),
    ]
    turns = [Turn("user", "Hi", 0), Turn("assistant", "Sold.", 3)]
    with_tools = Memory("desk", "s1", calls=calls, turns=turns)
    shown = Page(render_comparison("Evaluation", {"sft": [with_tools]}, [talk("s1", "Sold.")]))
    assert 'calls look(at="<b>", n=2)' in shown.texts
    assert "gone" in shown.texts
    assert shown.with_class("tool") == 1
    assert (shown.with_class("same"), shown.with_class("differs")) == (1, 0)


def test_each_conversation_stands_side_by_side_with_the_supervisors(page: Page) -> None:
    assert page.with_class("models") == 2
    headings = [text.strip() for text in page.texts if text.strip() in ("Base", "SFT", "DPO", "Supervisor")]
    assert headings.count("Supervisor") == 2
    assert page.texts.count("Of course.") == 2
    assert "never shown" not in page.texts


def test_what_agrees_differs_and_failed_is_said(page: Page) -> None:
    assert (page.with_class("same"), page.with_class("differs")) == (3, 2)
    assert "no choice" in page.texts
    cells = [text for text in page.texts if text.isdigit()]
    assert cells == ["2", "0", "1", "2", "2", "0", "2", "1", "0"]


def test_words_that_the_supervisor_did_not_say_are_marked() -> None:
    text = render_comparison("t", {"sft": [talk("s", "we shall not pay")]}, [talk("s", "we shall pay")])
    assert "we shall <mark>not</mark> pay" in text


def test_figures_stand_with_their_intervals() -> None:
    figures = {"base": {"exact_match": Estimate(0.1, 0.05, 0.2, 40), "margin": None}, "sft": {"exact_match": None}}
    page = Page(render_comparison("t", {"sft": [talk("s", "a")]}, [], figures=figures))
    assert "0.100 (0.050 to 0.200)" in page.texts
    assert any("95 % interval, a bootstrap over conversations" in text for text in page.texts)
    assert not any("reward margin" in text for text in page.texts)


def test_a_conversation_is_known_by_what_its_scenario_hands_over() -> None:
    scenario = json.dumps({"num_turns": 1, "chatbot_kwargs": {"n": 2}, "user_kwargs": {"item": "a <b>lamp"}})
    page = Page(render_comparison("t", {"sft": [talk("s", "a", scenario_data=scenario)]}, []))
    assert "n: 2 \u00b7 item: a <b>lamp" in page.texts
    for damaged in ("{", "[]", '{"user_kwargs": [1]}'):
        render_comparison("t", {"sft": [talk("s", "a", scenario_data=damaged)]}, [])


def test_agreeing_conversations_can_be_hidden() -> None:
    trained = {"base": [talk("s", "b"), talk("r", "b")], "sft": [talk("s", "a"), talk("r", "c")]}
    some = Page(render_comparison("t", trained, [talk("s", "a"), talk("r", "a")]))
    assert some.with_class("agreed") == 1
    assert ("input", {"type": "checkbox", "id": "only"}) in some.tags


def test_where_all_agree_it_is_said_in_words() -> None:
    same = Page(render_comparison("t", {"base": [talk("s", "b")], "sft": [talk("s", "a")]}, [talk("s", "a")]))
    assert any("the trained models say what the supervisor says" in text for text in same.texts)
    assert not [tag for tag, _ in same.tags if tag == "input"]


def test_a_trained_model_that_differs_is_never_hidden(page: Page) -> None:
    assert page.with_class("agreed") == 1  # s1: the base differs, both trained models agree


def test_without_supervised_conversations_nothing_is_compared() -> None:
    page = Page(render_comparison("t", {"sft": [talk("s", "a")]}, []))
    assert "Supervisor" not in page.texts
    assert page.with_class("same") == page.with_class("differs") == 0
    assert not [tag for tag, _ in page.tags if tag == "input"]


HOSTILE = [
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<!-- --><svg onload=alert(1)>",
    "&lt;script&gt;",
    "{title}{body}{0}",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_text_everywhere(text: str) -> None:
    scenario = json.dumps({"user_kwargs": {text: text}})
    memory = talk(text, text, user=text, status="failed", error=text, error_message=text, scenario_data=scenario)
    rendered = render_comparison(text, {text: [memory]}, [talk(text, "other words")], verdict=text)
    page = Page(rendered)
    allowed = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "table", "tr", "th", "td"}
    allowed |= {"label", "input", "section", "div", "span", "mark"}
    assert {tag for tag, _ in page.tags} <= allowed
    names = {name for _, attributes in page.tags for name in attributes}
    assert names <= {"lang", "charset", "name", "content", "http-equiv", "class", "dir", "type", "id"}
    assert "".join(page.texts).count(text) >= 5


def test_characters_that_hide_or_turn_text_are_replaced() -> None:
    rendered = render_comparison("t", {"sft": [talk("s", "safe\u202egnp.exe\x00\x1b[31m")]}, [])
    assert "safe\ufffdgnp.exe\ufffd\ufffd[31m" in rendered


def test_the_page_needs_nothing_else_and_forbids_scripts(page: Page) -> None:
    policy = next(attributes for tag, attributes in page.tags if attributes.get("http-equiv"))
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert not [tag for tag, attributes in page.tags if {"src", "href"} & set(attributes)]
    assert any(attributes.get("name") == "viewport" for _, attributes in page.tags)


def test_a_long_text_is_shown_whole_and_fast() -> None:
    text = " ".join(f"word{number}" for number in range(20_000))
    rendered = render_comparison("t", {"sft": [talk("s", text)]}, [talk("s", text[::-1])])
    assert text in rendered
