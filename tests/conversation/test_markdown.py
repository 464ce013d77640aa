from __future__ import annotations

import re
from collections import Counter

import orjson
import pytest

from autograms.conversation.failures import Failing
from autograms.conversation.markdown import cell, code, fenced, quoted
from autograms.conversation.record import Memory
from autograms.datasets import DatasetReport
from autograms.evaluation.report import render_report
from autograms.finetuning.card import render_card
from autograms.simulation.plan import Plan
from autograms.simulation.scenarios import Scenario

HOSTILE = "![x](https://evil.example/p.png?u=1)<img src=x>`|` &lt;b&gt;\n# big\n```"


@pytest.mark.parametrize(
    "text", ["![x](https://a.example/p.png?q=1)", "<img src=x>", "# big", "a | b", "`code`", "*b*", "&lt;b&gt;"]
)
def test_markup_is_shown_and_not_followed(text: str) -> None:
    shown = quoted(text)
    assert shown.replace("\\", "") == text
    assert harmless(shown)
    assert not shown.startswith("#")


def harmless(text: str) -> bool:
    """Whether no picture, no tag but a line break, and no entity stands in a text, unescaped and outside of code."""
    plain = re.sub(r"(?<!\\)`[^`]*`", "", text.replace("<br>", "").replace("\\\\", ""))
    return not any(letter in "<`&![" and plain[index - 1 : index] != "\\" for index, letter in enumerate(plain))


def test_plain_words_stay_as_they_are() -> None:
    assert quoted("Dear customer, we noted: it is 5 - 3.") == "Dear customer, we noted: it is 5 - 3."
    assert quoted("of reply_instruction and _this_") == "of reply_instruction and \\_this\\_"
    assert quoted("a\x00b\u202ec") == "a\ufffdb\ufffdc"
    assert quoted("word " * 3, 5) == "word  ..."


def test_a_cell_is_one_line() -> None:
    assert cell(" a\nb | c ") == "a<br>b \\| c"
    assert harmless(cell(HOSTILE))


def test_code_and_blocks_of_code_end_where_they_should() -> None:
    assert code("a`b\nc") == "`a'b c`"
    assert fenced("x\n```\n````\ny", "python") == "`````python\nx\n```\n````\ny\n`````"


def test_what_others_said_does_nothing_in_any_page() -> None:
    memory = Memory(autogram="bot", scenario="k", status="failed", error="E", error_message=HOSTILE)
    scored = _scored(memory)
    pages = [
        Plan("bot", failures=[Failing("E", HOSTILE, HOSTILE, 1)]).as_markdown(),
        DatasetReport("sft", by_primitive=Counter({HOSTILE: 1}), notes=[HOSTILE]).as_markdown(),
        render_card(_record(), settings={"tag_query": HOSTILE}),
        render_report(
            title=HOSTILE, verdict=HOSTILE, figures={}, rows=[], models=[scored], pictures=[], notes=[HOSTILE]
        ),
    ]
    assert [page for page in pages if "evil" not in page] == []
    for page in pages:
        assert all(harmless(line) for line in page.splitlines() if "evil" in line and "base_model:" not in line)


def test_scenarios_and_conversations_do_nothing_in_the_metadata() -> None:
    from autograms_assets import memories, scenarios

    scenario = Scenario(key=HOSTILE, num_turns=1, chatbot_kwargs={"topic": HOSTILE}, user_kwargs={"n": HOSTILE})
    memory = Memory(autogram="a", scenario="k", scenario_data=orjson.dumps(scenario.to_dict()).decode())
    memory.error, memory.error_message, memory.error_place = HOSTILE, HOSTILE, HOSTILE
    for page in (scenarios._as_markdown([scenario]), memories._as_markdown(memory)):
        assert page.count("evil") >= 3
        assert harmless(page.replace("**", ""))


def _scored(memory: Memory) -> object:
    from types import SimpleNamespace

    return SimpleNamespace(name="sft", conversations=[memory], answers=[])


def _record() -> dict[str, object]:
    figures = {"train_rows": 1, "validation_rows": 0, "steps": 1, "seconds": 1.0, "eval_loss_after": None}
    return {
        **figures,
        "kind": "sft",
        "name": HOSTILE,
        "base": HOSTILE,
        "data_hash": "a",
        "fingerprint": "b",
        "audit": {},
        "recipe": {"model": HOSTILE},
        "versions": {"torch": HOSTILE},
        "device": "cpu",
    }
