"""From rows to tokens: what the model reads, which tokens carry loss, and an account of both.

A row's prompt is rendered exactly as deployment renders the request (``add_generation_prompt=True``); the answer
and the token that ends it, and nothing else, carry loss. What does not belong here: choosing rows, and training.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from autograms.conversation.tool_calls import TOOL_CALLS, answer_message
from autograms.errors import DatasetError, ModelNameError, TrainingError
from autograms.finetuning.audit import NO_LOSS, NO_ROOM, TOO_LONG, TokenAudit
from autograms.models import loading
from autograms.models.tool_calls import shows_tools, template_messages, written_call

if TYPE_CHECKING:
    import pyarrow as pa
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "IGNORED",
    "MASKS",
    "Kind",
    "Row",
    "TokenRow",
    "answer_ids",
    "context_length",
    "fitting_rows",
    "load_tokenizer",
    "prompt_ids",
    "read_rows",
    "row_texts",
    "tokenize_rows",
]

IGNORED = -100
"""The label of a token without loss."""
MASKS = 1
"""Number of the form that rows have as tokens; a higher one makes every model stale, so that it is trained again."""

Kind = Literal["sft", "dpo"]
_ANSWERS: dict[str, tuple[str, ...]] = {"sft": ("completion",), "dpo": ("chosen", "rejected")}
_MARKER = re.compile(r"\{%-?\s*generation\b")
_NO_LENGTH = 10**9
"""From here on, a tokenizer's ``model_max_length`` means that it knows none."""


@dataclass(frozen=True, slots=True)
class Row:
    """One training row.

    Attributes:
        id: The row's id.
        messages: The prompt in wire form.
        answers: ``(completion,)`` of an SFT row, ``(chosen, rejected)`` of a DPO pair.
        split: ``train`` or ``validation``.
        kind: What the answers are; those of the kind ``tool_calls`` call tools.
        tools: The tools that the request offers, ``None`` where it offers none.
    """

    id: str
    messages: list[dict[str, Any]]
    answers: tuple[str, ...]
    split: str
    kind: str = "text"
    tools: list[dict[str, Any]] | None = None

    def answer_messages(self) -> list[dict[str, Any]]:
        """Return each answer as the assistant's message."""
        return [answer_message(self.kind, answer) for answer in self.answers]


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One row as tokens.

    Attributes:
        id: The row's id.
        prompt: Token ids of the prompt, as deployment sends it.
        answers: For each answer: its token ids, the end token included.
        losses: For each answer: which of its tokens carry loss.
    """

    id: str
    prompt: list[int]
    answers: tuple[list[int], ...]
    losses: tuple[list[bool], ...]

    @property
    def length(self) -> int:
        """Tokens of the longest sequence: the prompt and its longest answer."""
        return len(self.prompt) + max(len(answer) for answer in self.answers)

    @property
    def tokens(self) -> int:
        """Tokens that go through the model, the prompt once for each answer."""
        return sum(len(self.prompt) + len(answer) for answer in self.answers)

    @property
    def loss_tokens(self) -> int:
        """Tokens among them that carry loss."""
        return sum(map(sum, self.losses))

    def input_ids(self, answer: int = 0) -> list[int]:
        """Return the token ids of the prompt and one answer."""
        return self.prompt + self.answers[answer]

    def labels(self, answer: int = 0) -> list[int]:
        """Return the labels that go with :meth:`input_ids`: the token where it carries loss, ``IGNORED`` elsewhere."""
        pairs = zip(self.answers[answer], self.losses[answer], strict=True)
        return [IGNORED] * len(self.prompt) + [token if loss else IGNORED for token, loss in pairs]


def read_rows(table: pa.Table, kind: Kind, *, split: str | None = None) -> Iterator[Row]:
    """Read the rows of an SFT or DPO table.

    Args:
        table: A table of the SFT or the DPO schema.
        kind: Which of the two.
        split: Only the rows of this split.

    Raises:
        DatasetError: Where a column is missing or a message's ``extra`` is not JSON.
    """
    wanted = ["id", "prompt", "split", *_ANSWERS[kind]]
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        raise DatasetError(
            f"not a table of {kind} rows: column {missing[0]!r} is missing (there are {table.column_names}); "
            f"expected {wanted}"
        )
    about = [name for name in ("kind", "tools") if name in table.column_names]
    for batch in table.select([*wanted, *about]).to_batches(max_chunksize=1024):
        for row in batch.to_pylist():
            if split is None or row["split"] == split:
                answers = tuple(row[name] for name in _ANSWERS[kind])
                messages = [_wire(message, row["id"]) for message in row["prompt"]]
                tools = json.loads(row["tools"]) if row.get("tools") else None
                yield Row(row["id"], messages, answers, row["split"], row.get("kind") or "text", tools)


def row_texts(rows: Iterable[Row]) -> Iterator[str]:
    """Return every text of the rows: what the tiny student's tokenizer is trained on."""
    for row in rows:
        for message in row.messages:
            content = message.get("content")
            if isinstance(content, str):
                yield content
            elif content:
                yield from (part["text"] for part in content if isinstance(part, dict) and "text" in part)
            yield from _called(message)
        for answer in row.answer_messages() if row.kind == TOOL_CALLS else ():
            yield from _called(answer)
        if row.kind != TOOL_CALLS:
            yield from row.answers
        if row.tools:
            yield json.dumps(row.tools, ensure_ascii=False)


def _called(message: dict[str, Any]) -> Iterator[str]:
    for call in template_messages([message])[0].get("tool_calls") or ():
        yield written_call(call)


def load_tokenizer(model: str | Path) -> PreTrainedTokenizerBase:
    """Load a model's own tokenizer, with a pad token.

    Raises:
        TrainingError: Where there is none, or it has no chat template.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = loading.load_tokenizer(model)
    except ModelNameError as error:
        raise TrainingError(f"no tokenizer at {model}, which is not 'tiny' either: {error}") from None
    if not tokenizer.chat_template:
        raise TrainingError(
            f"the tokenizer of {model} has no chat template, so no request can be rendered; "
            "take an instruction-tuned model, or put a chat_template.jinja into its folder"
        )
    if tokenizer.eos_token is None:
        raise TrainingError(f"the tokenizer of {model} has no end token (eos_token), so no answer could end")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def prompt_ids(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, Any]], tools: list[dict[str, Any]] | None = None
) -> list[int]:
    """Return the token ids of a request, as a deployed model reads it.

    Raises:
        TrainingError: Where tools are offered, and the chat template does not show them.
    """
    return _render(tokenizer, messages, tools, add_generation_prompt=True)["input_ids"]


def answer_ids(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[dict[str, Any]],
    prompt: list[int],
    answer: dict[str, Any],
    tools: list[dict[str, Any]] | None = None,
) -> tuple[list[int], list[bool]]:
    """Return an answer's token ids behind the prompt, the end token included, and which of them carry loss.

    Args:
        tokenizer: The model's.
        messages: The request.
        prompt: ``prompt_ids(tokenizer, messages, tools)``.
        answer: The assistant's message.
        tools: The tools that the request offers.

    Raises:
        TrainingError: Where the answer calls tools, and the template does not render it behind the prompt.

    The template's ``{% generation %}`` markers say what carries loss where it has some; all that follows the prompt
    up to the end token does where it has none. A template that renders a finished conversation differently from the
    request it began with (so that the prompt is no prefix), or that ends it with no token of its own, is answered by
    the answer's own tokens and the tokenizer's end token: the prompt that is trained stays the one that is deployed.
    """
    marked = _MARKER.search(str(tokenizer.chat_template)) is not None
    full = _render(tokenizer, [*messages, answer], tools, marked=marked)
    ids = full["input_ids"]
    start = len(prompt)
    suffix = ids[start:] if ids[:start] == prompt else []
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    ends = [index for index, token in enumerate(suffix) if token in special]
    if not ends and answer.get("tool_calls"):
        raise TrainingError(
            f"the chat template of {tokenizer.name_or_path or 'this tokenizer'} does not render calls of tools behind "
            "the prompt that they answer, so that they cannot be trained on; take another model"
        )
    if not ends:
        tokens = [*tokenizer(answer["content"], add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        return tokens, [True] * len(tokens)
    end = ends[-1] + 1
    mask = [bool(bit) for bit in full["assistant_masks"][start : start + end - 1]] if marked else []
    return suffix[:end], [*(mask if any(mask) else [True] * (end - 1)), True]


def tokenize_rows(
    rows: Iterable[Row],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    truncate: bool,
    context: int | None = None,
) -> tuple[list[TokenRow], TokenAudit]:
    """Turn rows into tokens, leaving out those that cannot be trained on, and account for them.

    A row over the limit is left out, or, with ``truncate``, loses the beginning of its prompt. An answer is never cut:
    a row whose answer alone fills the limit is left out either way.

    Args:
        rows: The rows.
        tokenizer: The model's.
        max_length: Longest row, in tokens.
        truncate: Whether the prompts of longer rows are cut.
        context: The model's own longest input, in tokens, which no row may be over either; ``None``: not known.

    Raises:
        DatasetError: Where no row remains.
    """
    audit = TokenAudit(min(max_length, context or max_length), context)
    kept = list(fitting_rows(rows, tokenizer, audit, truncate=truncate))
    if (refusal := audit.refusal()) is not None:
        raise DatasetError(refusal)
    return kept, audit


def fitting_rows(
    rows: Iterable[Row], tokenizer: PreTrainedTokenizerBase, audit: TokenAudit, *, truncate: bool
) -> Iterator[TokenRow]:
    """Yield the rows that can be trained on, as tokens, and account for all of them.

    Args:
        rows: The rows.
        tokenizer: The model's.
        audit: The account, which holds the limit; it is finished when the last row was asked for.
        truncate: As in :func:`tokenize_rows`.
    """
    lengths: list[int] = []
    for row in rows:
        tokens = _tokenize(row, tokenizer)
        lengths.append(tokens.length)
        if tokens.length > audit.longest:
            audit.longest, audit.longest_row = tokens.length, row.id
        fitted = _fit(tokens, audit, truncate=truncate)
        if fitted is not None:
            audit.trained += 1
            audit.tokens += fitted.tokens
            audit.loss_tokens += fitted.loss_tokens
            yield fitted
    audit.close(lengths)


def context_length(model: str | Path, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return a model's longest input in tokens, as its configuration or else its tokenizer says.

    Args:
        model: A folder, or a name on the hub.
        tokenizer: The model's.
    """
    try:
        config = loading.load_config(model).get_text_config()
    except ModelNameError:
        config = None
    known = [getattr(config, "max_position_embeddings", None), tokenizer.model_max_length]
    return next((int(length) for length in known if length and length < _NO_LENGTH), None)


def _wire(message: dict[str, Any], row: str) -> dict[str, Any]:
    wire = {"role": message["role"], "content": message["content"]}
    if message.get("extra"):
        try:
            wire.update(json.loads(message["extra"]))
        except ValueError as error:
            raise DatasetError(f"row {row!r}: a message's 'extra' is not JSON ({error})") from None
    return wire


def _render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[dict[str, Any]],
    tools: list[dict[str, Any]] | None,
    *,
    add_generation_prompt: bool = False,
    marked: bool = False,
) -> dict[str, Any]:
    if tools and not shows_tools(tokenizer):
        raise TrainingError(
            f"rows offer tools, and the chat template of {tokenizer.name_or_path or 'this tokenizer'} does not show "
            "any; take a model whose template does, or leave such rows out (exclude_primitives)"
        )
    rendered: Any = tokenizer.apply_chat_template(
        template_messages(messages),
        tools=tools,  # type: ignore[arg-type]
        tokenize=True,
        return_dict=True,
        add_generation_prompt=add_generation_prompt,
        return_assistant_tokens_mask=marked,
    )
    return dict(rendered)


def _tokenize(row: Row, tokenizer: PreTrainedTokenizerBase) -> TokenRow:
    prompt = prompt_ids(tokenizer, row.messages, row.tools)
    pairs = [answer_ids(tokenizer, row.messages, prompt, answer, row.tools) for answer in row.answer_messages()]
    return TokenRow(row.id, prompt, tuple(ids for ids, _ in pairs), tuple(losses for _, losses in pairs))


def _fit(tokens: TokenRow, audit: TokenAudit, *, truncate: bool) -> TokenRow | None:
    excess = tokens.length - audit.max_length
    audit.over += excess > 0
    if not all(any(losses) for losses in tokens.losses):
        reason = NO_LOSS
    elif excess <= 0:
        return tokens
    elif excess >= len(tokens.prompt):
        reason = NO_ROOM
    elif truncate:
        audit.truncated += 1
        audit.tokens_lost += excess * len(tokens.answers)
        return TokenRow(tokens.id, tokens.prompt[excess:], tokens.answers, tokens.losses)
    else:
        reason = TOO_LONG
        audit.could_cut += excess * len(tokens.answers)
    audit.leave_out(tokens.id, reason)
    audit.tokens_lost += tokens.tokens
    audit.loss_tokens_lost += tokens.loss_tokens
    return None
