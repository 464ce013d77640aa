"""The embedded student: a tiny Llama with a tokenizer of its own, made on the spot from the conversations' texts.

It needs no download and trains in seconds on a processor, which makes the whole chain runnable anywhere. What does
not belong here: training it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograms.errors import DatasetError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["TINY", "build_tiny", "is_tiny", "tiny_tokenizer"]

TINY = "tiny"
_MARK = "autograms_student"
_VOCABULARY = 1024
_INITIALIZER_RANGE = 0.06
_PAD, _END = "<|pad|>", "<|end|>"
_ROLES = ("system", "user", "assistant", "tool")

_CHAT_TEMPLATE = """\
{%- macro text(content) -%}
{%- if content is string -%}{{ content }}
{%- elif content -%}{%- for part in content -%}{{ part['text'] if 'text' in part else '' }}{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{%- if tools -%}<|system|>{{ tools | tojson }}<|end|>{%- endif -%}
{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}
<|assistant|>{% generation %}{{ text(message['content']) }}
{%- for call in message['tool_calls'] or [] -%}
<tool_call>{{ (call['function'] or call) | tojson }}</tool_call>
{%- endfor -%}<|end|>{% endgeneration %}
{%- elif message['role'] == 'system' or message['role'] == 'developer' -%}
<|system|>{{ text(message['content']) }}<|end|>
{%- elif message['role'] == 'tool' or message['role'] == 'function' -%}
<|tool|>{{ text(message['content']) }}<|end|>
{%- else -%}
<|user|>{{ text(message['content']) }}<|end|>
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}
"""


def build_tiny(texts: Iterable[str], output_dir: Path, *, seed: int = 0) -> Path:
    """Write an untrained student, model and tokenizer, as a Hugging Face model folder.

    The same texts and seed give the same files, byte for byte. The folder appears whole or not at all.

    Args:
        texts: What the tokenizer is trained on: prompts and answers of the training rows.
        output_dir: The folder to write; an existing one is replaced.
        seed: Seed of the initial weights.

    Raises:
        DatasetError: Where there is no text at all.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer(texts)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=4096,
        initializer_range=_INITIALIZER_RANGE,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    setattr(config, _MARK, TINY)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    return _write(model, tokenizer, output_dir)


def tiny_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Train the student's byte-level BPE tokenizer.

    Raises:
        DatasetError: Where there is no text at all.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    distinct = sorted({text for text in texts if text})
    if not distinct:
        raise DatasetError("the tiny student's tokenizer has no text to be trained on: the training split has no rows")
    roles = [f"<|{role}|>" for role in _ROLES]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=[_PAD, _END, *roles],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(distinct, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=_END,
        pad_token=_PAD,
        additional_special_tokens=roles,
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )
    tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer


def is_tiny(model: str | Path) -> bool:
    """Return whether ``model`` names the embedded student, or is a folder that holds one, trained or not."""
    if str(model) == TINY:
        return True
    config = Path(model) / "config.json"
    return config.is_file() and f'"{_MARK}": "{TINY}"' in config.read_text(encoding="utf-8")


def _write(model: Any, tokenizer: PreTrainedTokenizerFast, output_dir: Path) -> Path:
    temporary = output_dir.with_name(f".{output_dir.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    model.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    shutil.rmtree(output_dir, ignore_errors=True)
    os.replace(temporary, output_dir)
    return output_dir
