from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autograms.errors import DatasetError
from autograms.finetuning.student import build_tiny, is_tiny, tiny_tokenizer

TEXTS = ["Where is my kettle?", "Your kettle is on its way."]


def test_same_texts_and_seed_give_the_same_files(tmp_path: Path) -> None:
    first, second = build_tiny(TEXTS, tmp_path / "a", seed=3), build_tiny(reversed(TEXTS), tmp_path / "b", seed=3)
    assert {path.name: path.read_bytes() for path in first.iterdir()} == {
        path.name: path.read_bytes() for path in second.iterdir()
    }


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    first, second = build_tiny(TEXTS, tmp_path / "a", seed=3), build_tiny(TEXTS, tmp_path / "b", seed=4)
    assert (first / "model.safetensors").read_bytes() != (second / "model.safetensors").read_bytes()


def test_building_leaves_the_random_state_alone(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    build_tiny(TEXTS, tmp_path / "a")
    assert torch.rand(1) == expected


def test_no_text_is_an_error() -> None:
    with pytest.raises(DatasetError, match="no text"):
        tiny_tokenizer(["", ""])


def test_is_tiny(tiny: Path, tmp_path: Path) -> None:
    assert is_tiny("tiny")
    assert is_tiny(tiny)
    assert not is_tiny(tmp_path)
    assert not is_tiny("org/model")


def test_any_text_survives_the_tokenizer(tokenizer: Any) -> None:
    text = "Grüße, 漢字 \U0001f600\n\n  two  spaces\t."
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.parametrize(
    "roles",
    [
        ["user"],
        ["assistant", "user", "user"],
        ["system", "assistant", "tool", "system", "user"],
        ["developer", "tool"],
    ],
)
def test_any_order_of_roles_renders(tokenizer: Any, roles: list[str]) -> None:
    messages = [{"role": role, "content": f" text {index}\n"} for index, role in enumerate(roles)]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text.endswith("<|assistant|>")
    assert all(f" text {index}\n<|end|>" in text for index in range(len(roles)))


def test_content_parts_and_tool_calls_render(tokenizer: Any) -> None:
    messages = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "x"}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "find"}}]},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert "<|user|>look<|end|>" in text
    assert "find" in text
