from __future__ import annotations

import base64
import pickle
from pathlib import Path
from typing import Any

import pytest

from autograms.conversation.foreign import memory_from_foreign
from autograms.conversation.pickle_file import load_pickle
from autograms.errors import RecordError


def entry(
    function: str, inputs: dict[str, Any], output: Any, supervisor: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "entry_type": "model", "function_name": function, "function_inputs": inputs, "output": output,
        "supervisor_info": supervisor, "usage_log": {}, "timestamp": "2025-01-01",
    }  # fmt: skip


def inputs(asked: list[str], answered: list[str], **more: Any) -> dict[str, Any]:
    return {
        "input_turns": asked,
        "output_turns": answered,
        "system_prompt": "Be kind.",
        "multi_modal_inputs": None,
        **more,
    }


SAVED = {
    "stack": [], "turn_stack": [], "version": "0.6.0",
    "model_turns": [
        {"entry_type": "user_reply", "user_reply": "hi"},
        entry("call_model", inputs(["hi\nInstruction: greet"], []), ["Hello.", "Hey."],
              {"score": 1.0, "rejected_output": "yo", "tags": ["good"]}),
        {"entry_type": "agent_reply", "reply": "Hello."},
        {"entry_type": "node", "node": "a"},
        entry("call_classifier", inputs(["hi", "Done?"], ["Hello."], answer_choices=["Yes", "No"]), "No"),
        entry("call_completion", {"prompt": "Once"}, "upon"),
    ],
}  # fmt: skip


def test_calls_and_turns_are_read() -> None:
    memory = memory_from_foreign(SAVED)
    greeting, decision, completion = memory.calls
    assert memory.transcript() == [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello."}]
    assert (greeting.output, greeting.rejected, greeting.tags, greeting.score) == ("Hello.", ("yo",), ("good",), 1.0)
    assert (greeting.supervised, decision.supervised) == (True, False)
    assert (decision.primitive, decision.kind, decision.output) == ("yes_or_no", "choice", "No")
    assert completion.output == "upon"


def test_prompts_are_as_autograms_sent_them() -> None:
    memory = memory_from_foreign(SAVED)
    assert memory.prompt_messages(memory.calls[1].prompt) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Done?"},
    ]


def test_pictures_are_kept() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    saved = {"model_turns": [entry("call_model", inputs(["see"], [], multi_modal_inputs=[picture]), "ok")]}
    memory = memory_from_foreign(saved)
    assert memory.prompt_messages(memory.calls[0].prompt)[-1]["content"] == [{"type": "text", "text": "see"}, picture]


def test_files_load_where_they_are_plain_data(tmp_path: Path) -> None:
    (tmp_path / "example0.pkl").write_bytes(base64.b64encode(pickle.dumps(SAVED)))
    assert load_pickle(tmp_path / "example0.pkl") == memory_from_foreign(SAVED)


def test_files_that_ask_for_classes_are_refused(tmp_path: Path) -> None:
    saved = {**SAVED, "stack": [{"locals": {"path": Path("x")}}]}
    (tmp_path / "example0.pkl").write_bytes(base64.b64encode(pickle.dumps(saved)))
    with pytest.raises(RecordError, match=r"example0\.pkl: refused: the pickle asks for pathlib"):
        load_pickle(tmp_path / "example0.pkl")


def test_an_entry_of_another_form_is_numbered() -> None:
    with pytest.raises(RecordError, match=r"entry 1 of 'model_turns'.*KeyError"):
        memory_from_foreign(
            {"model_turns": [SAVED["model_turns"][0], {"entry_type": "model", "function_name": "call_model"}]}
        )
