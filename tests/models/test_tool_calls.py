"""Calls of tools: as endpoints, scripts, the offline model and local models write them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autograms.errors import ModelError, OutputError
from autograms.finetuning.student import tiny_tokenizer
from autograms.models import OpenAIModel, Request, ScriptedModel
from autograms.models.call_reader import call_reader
from autograms.models.offline import OfflineModel
from autograms.models.tool_calls import read_tool_calls, template_messages
from tests.endpoint import Endpoint
from tests.models.test_openai import answer

TOOL = {
    "type": "function",
    "function": {
        "name": "lookup",
        "parameters": {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]},
    },
}
CALL = {"id": "a", "type": "function", "function": {"name": "lookup", "arguments": '{"order": 7}'}}


def asked(*messages: dict[str, Any], **params: Any) -> Request:
    return Request("text", [{"role": "user", "content": "7?"}, *messages], params={"tools": [TOOL], **params})


def test_other_forms_become_the_chat_apis_own() -> None:
    assert read_tool_calls([{**CALL, "index": 0}]) == [CALL]
    (short,) = read_tool_calls([{"name": "lookup", "arguments": {"order": 7}}])
    assert short["function"] == CALL["function"]
    assert (short["type"], short["id"][:5]) == ("function", "call_")
    (bare,) = read_tool_calls([{"function": {"name": "now"}}])
    assert bare["function"] == {"name": "now", "arguments": "{}"}
    one, two = read_tool_calls([{"name": "now"}, {"name": "now"}])
    assert one["id"] != two["id"]
    assert read_tool_calls([{"name": "now"}, {"name": "now"}]) == [one, two]


@pytest.mark.parametrize("call", [{}, "lookup", {"function": {"arguments": "{}"}}, {"name": 3}, None])
def test_a_call_without_a_name(call: Any) -> None:
    with pytest.raises(OutputError, match="a call of a tool has no name"):
        read_tool_calls([call])


def test_templates_read_arguments_as_mappings() -> None:
    plain = {"role": "user", "content": "x"}
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    same, shown = template_messages([plain, called])
    assert same is plain
    assert shown["content"] == ""
    assert shown["tool_calls"][0]["function"] == {"name": "lookup", "arguments": {"order": 7}}
    assert called["tool_calls"] == [CALL]
    torn = {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "lookup", "arguments": '{"or'}}]}
    assert template_messages([torn])[0]["tool_calls"] == torn["tool_calls"]


def test_an_endpoint_that_calls_tools(endpoint: Endpoint) -> None:
    rule = {"contains": '"tools"', "tool_calls": [{"name": "lookup", "arguments": {"order": 7}}]}
    endpoint.script(answers=[rule], record=True)
    reply = answer(OpenAIModel("gpt-4o-mini", base_url=endpoint.url), asked(tool_choice="auto"))
    assert reply.tool_calls is not None
    assert [call["function"] for call in reply.tool_calls] == [CALL["function"]]
    assert reply.tool_calls[0]["id"].startswith("call_")
    assert (reply.text, reply.input_tokens > 0) == ("", True)
    assert reply.cost_usd
    (request,) = endpoint.requests()
    assert request["body"]["tools"] == [TOOL]
    assert request["body"]["tool_choice"] == "auto"


def test_an_endpoint_that_answers_although_there_are_tools(endpoint: Endpoint) -> None:
    reply = answer(OpenAIModel("small", base_url=endpoint.url), asked())
    assert reply.tool_calls is None
    assert reply.text.startswith("Answer ")


def test_an_endpoint_that_calls_tools_that_nobody_offered(endpoint: Endpoint) -> None:
    endpoint.script(answers=[{"tool_calls": [{"name": "lookup", "arguments": {}}]}])
    with pytest.raises(OutputError, match="answered with tool calls; a text was asked for"):
        answer(OpenAIModel("small", base_url=endpoint.url), Request("text", [{"role": "user", "content": "x"}]))


def test_a_script_that_calls_tools() -> None:
    calls = {"tool_calls": [{"name": "lookup", "arguments": {"order": 7}}], "content": "Wait."}
    reply = answer(ScriptedModel([calls]), asked())
    assert (reply.text, reply.tool_calls[0]["function"]) == ("Wait.", CALL["function"])  # type: ignore[index]
    plain = answer(ScriptedModel([calls]), Request("object", [{"role": "user", "content": "x"}]))
    assert (json.loads(plain.text), plain.tool_calls) == (calls, None)  # nothing was offered: it is an object


def test_the_offline_model_calls_the_first_tool_once() -> None:
    reply = answer(OfflineModel(), asked())
    assert reply.tool_calls is not None
    assert reply.tool_calls[0]["function"] == {"name": "lookup", "arguments": '{"order": 0}'}
    result = {"role": "tool", "content": "{}", "tool_call_id": reply.tool_calls[0]["id"]}
    called = {"role": "assistant", "content": None, "tool_calls": reply.tool_calls}
    assert answer(OfflineModel(), asked(called, result)).text.startswith("(offline demo)")
    assert answer(OfflineModel(), asked(tool_choice="none")).text.startswith("(offline demo)")


# --------------------------------------------------------------------------------------------------------- local models

HERMES = """\
{%- if tools %}<|system|>{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|end|>{% endif -%}
{%- for message in messages -%}<|{{ message.role }}|>{{ message.content }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|end|>{% endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"""
OTHER = HERMES.replace("<tool_call>", "[CALL]").replace("</tool_call>", "[/CALL]")
BLIND = "{%- for message in messages -%}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor -%}"
RESPONSE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|assistant|>",
    "fields": {
        "tool_calls": {
            "open": "[CALL]",
            "close_pattern": r"\[/CALL\]\s*",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"<\|end\|>\s*|$", "content": "text"},
    },
}


def read(template: str, text: str, response: dict[str, Any] | None = None) -> Any:
    tokenizer: Any = tiny_tokenizer([text, CALLED])
    tokenizer.chat_template = template
    tokenizer.response_template = response
    prompt = tokenizer("<|user|>7?<|end|><|assistant|>", add_special_tokens=False)["input_ids"]
    return call_reader(tokenizer, "small")(prompt, tokenizer(text, add_special_tokens=False)["input_ids"], [TOOL])


CALLED = '{"name": "lookup", "arguments": {"order": 7}}'


def test_calls_in_the_usual_form_are_read() -> None:
    text, calls = read(HERMES, f"Wait.\n<tool_call>\n{CALLED}\n</tool_call>\n<tool_call>{CALLED}</tool_call>")
    assert text == "Wait."
    assert [call["function"] for call in calls] == [CALL["function"]] * 2


@pytest.mark.parametrize(
    "text", ["Shipped.", "<tool_call>{torn</tool_call>", "<tool_call>[]</tool_call>", f"<tool_call>{CALLED}"]
)
def test_what_is_no_call_is_a_text(text: str) -> None:
    assert read(HERMES, text) is None


def test_a_form_that_is_not_known_needs_a_response_template() -> None:
    with pytest.raises(
        ModelError, match="'small': its chat template writes calls of tools in a form that is not known"
    ):
        read(OTHER, "x")
    _, calls = read(OTHER, f"[CALL]{CALLED}[/CALL]", RESPONSE)
    assert calls[0]["function"] == CALL["function"]
    assert read(OTHER, "Shipped.", RESPONSE) is None


def test_a_template_that_shows_no_tools() -> None:
    with pytest.raises(ModelError, match="'small': its chat template shows the model no tools"):
        read(BLIND, "x")
