"""A causal language model in this process: render chat messages, generate in batches, score choices.

Everything here is synchronous and belongs to one thread. What does not belong here: queues and event loops
(``checkpoint``). torch and transformers are imported where a model is loaded or asked.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from autograms.errors import ModelError
from autograms.models.base import Message
from autograms.models.call_reader import Called, CallReader, call_reader
from autograms.models.device import find_device
from autograms.models.loading import load_model, load_tokenizer
from autograms.models.tool_calls import template_messages

__all__ = ["Generation", "LocalModel", "load_local"]

_SMALL = 20_000_000
"""Parameters below which one thread is faster than several."""
_COLDEST = 1e-5
"""Temperature up to which the likeliest token is taken: divided by less, scores leave the range of numbers."""
_WITHOUT_EFFECT = frozenset(
    ("frequency_penalty", "logit_bias", "n", "presence_penalty", "reasoning_effort", "response_format", "tool_choice")
)


@dataclass(frozen=True, slots=True)
class Generation:
    """How to generate. Requests that agree in it share a batch.

    Attributes:
        max_tokens: Longest answer, in tokens.
        temperature: 0 for the likeliest token each time.
        top_p: Share of the probability that is drawn from.
        stop: Texts before which the answer ends.
        seed: Seed of the draws; ``None`` for draws that nothing repeats.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None

    @classmethod
    def from_params(cls, params: Mapping[str, Any], *, max_tokens: int) -> Generation:
        """Read the chat API's keywords; those that a local model does not have are warned about.

        Raises:
            ModelError: Where a value has the wrong form, or is out of its range.
        """
        for name in sorted(_WITHOUT_EFFECT.intersection(params)):
            if params[name] not in (None, 0, 1, [], {}):
                warnings.warn(f"{name}= has no effect on a local checkpoint", stacklevel=3)
        stop = params.get("stop") or ()
        limits = (params.get("max_completion_tokens"), params.get("max_tokens"), max_tokens)
        try:
            generation = cls(
                int(next(limit for limit in limits if limit is not None)),
                float(params.get("temperature") or 0.0),
                1.0 if params.get("top_p") is None else float(params["top_p"]),
                (stop,) if isinstance(stop, str) else tuple(stop),
                None if params.get("seed") is None else int(params["seed"]),
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"a keyword of the chat API has the wrong form: {error}") from None
        generation._check()
        return generation

    def _check(self) -> None:
        """Refuse here what would fail, or be taken for something else, inside of transformers."""
        for name, fits, expected in (
            ("max_tokens", self.max_tokens >= 1, "1 or more"),
            ("temperature", 0 <= self.temperature < math.inf, "a number, 0 or more"),
            ("top_p", 0 <= self.top_p <= 1, "a number from 0 to 1"),
            ("stop", all(isinstance(text, str) and text for text in self.stop), "texts that are not empty"),
            ("seed", self.seed is None or -(2**63) <= self.seed < 2**64, "a whole number of 64 bits"),
        ):
            if not fits:
                raise ModelError(f"{name}={getattr(self, name)!r} cannot be asked of a model; expected {expected}")


class Written(NamedTuple):
    """An answer.

    Attributes:
        text: Its text, without special tokens.
        tokens: Its tokens, the one that ends it included.
    """

    text: str
    tokens: list[int]


def load_local(path: str, batch_size: int) -> LocalModel:
    """Load a model and its tokenizer, on the GPU where there is one, in bfloat16 where it computes in that.

    Args:
        path: A folder, or a name on the Hugging Face hub.
        batch_size: Most sequences in one batch.

    Raises:
        ModelNameError: Where there is no such model, or it has no safetensors.
        ModelError: Where it has no chat template.
    """
    import torch

    device = find_device()
    tokenizer = load_tokenizer(path)
    model = load_model(path, dtype=device.dtype)
    if not tokenizer.chat_template:
        raise ModelError(f"checkpoint {path!r}: its tokenizer has no chat template; use a chat model, or add one to it")
    model.eval()
    model.to(device.kind)
    if not device.gpu and sum(parameter.numel() for parameter in model.parameters()) < _SMALL:
        torch.set_num_threads(1)
    return LocalModel(path, model, tokenizer, batch_size)


class LocalModel:
    """A loaded model with its tokenizer.

    Args:
        name: What messages call it.
        model: A causal language model of transformers.
        tokenizer: Its tokenizer, with a chat template.
        batch_size: Most sequences in one batch.
    """

    def __init__(self, name: str, model: Any, tokenizer: Any, batch_size: int = 32) -> None:
        self._name = name
        self._model = model
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self._context: int | None = getattr(model.config, "max_position_embeddings", None)
        self._ends = _end_tokens(model, tokenizer)
        self._reader: CallReader | None = None
        self._pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self._ends[0]
        accepted = inspect.signature(model.forward).parameters
        self._takes_positions = "position_ids" in accepted
        self._keeps_logits = "logits_to_keep" in accepted

    def render(self, messages: Sequence[Message], tools: list[dict[str, Any]] | None = None) -> list[int]:
        """Return the prompt's tokens, up to where the answer begins.

        Raises:
            ModelError: Where the chat template refuses the messages, does not show tools that are offered, or writes
                calls of them in a form that cannot be read back; or where the messages fill the model's context.
        """
        if tools:
            self._reader = self._reader or call_reader(self._tokenizer, self._name)
        tokens = self._tokens(self._template(messages, ask=True, tools=tools))
        if self._context is not None and len(tokens) >= self._context:
            raise ModelError(
                f"checkpoint {self._name!r}: the prompt has {len(tokens)} tokens, the model's context {self._context}; "
                "prompts are never cut: shorten the conversation (max_turns) or take a model with a longer context"
            )
        return tokens

    def generate(self, prompts: Sequence[list[int]], generation: Generation) -> list[Written]:
        """Answer prompts in batches.

        Args:
            prompts: Tokens, as :meth:`render` returns them.
            generation: How to generate.
        """
        answers: list[Written] = []
        for start in range(0, len(prompts), self._batch_size):
            answers += self._generate(prompts[start : start + self._batch_size], generation)
        return answers

    def called(self, prompt: list[int], written: list[int], tools: list[dict[str, Any]]) -> Called | None:
        """Return the tools that an answer calls, and what it says beside them; ``None`` where it calls none.

        Args:
            prompt: The prompt's tokens, rendered with the tools.
            written: The answer's tokens.
            tools: The tools.
        """
        assert self._reader is not None
        if written and written[-1] in self._ends:
            written = written[:-1]
        return self._reader(prompt, written, tools)

    def completions(self, prompt: list[int], messages: Sequence[Message], choices: Sequence[str]) -> list[list[int]]:
        """Return each choice's tokens as the chat template writes such an answer, the one that ends it included.

        Args:
            prompt: ``render(messages)``.
            messages: What the model sees.
            choices: The choices.
        """
        rendered = self._template(messages, ask=True)
        return [self._completion(prompt, rendered, messages, choice) for choice in choices]

    def score(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[float]:
        """Return the log-likelihood of each completion after its prompt, summed over its tokens, in batches.

        Args:
            pairs: Tokens of prompts and completions.
        """
        scores: list[float] = []
        for start in range(0, len(pairs), self._batch_size):
            scores += self._score(pairs[start : start + self._batch_size])
        return scores

    def _template(self, messages: Sequence[Message], *, ask: bool, tools: list[dict[str, Any]] | None = None) -> str:
        import jinja2

        try:
            text: str = self._tokenizer.apply_chat_template(
                template_messages(messages), tools=tools, tokenize=False, add_generation_prompt=ask
            )
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            roles = ", ".join(str(message.get("role")) for message in messages)
            raise ModelError(
                f"checkpoint {self._name!r}: its chat template refuses the messages ({roles}): {error}; a template "
                "that wants strict turns, or has no system role, needs a program that asks so"
            ) from error
        return text

    def _tokens(self, text: str) -> list[int]:
        tokens: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return tokens

    def _completion(self, prompt: list[int], rendered: str, messages: Sequence[Message], choice: str) -> list[int]:
        """Return the tokens of an answer as the chat template writes it, up to the token that ends it."""
        whole = self._template([*messages, {"role": "assistant", "content": choice}], ask=False)
        if whole.startswith(rendered):
            tokens = self._tokens(whole)
            tokens = tokens[len(prompt) :] if tokens[: len(prompt)] == prompt else self._tokens(whole[len(rendered) :])
        else:
            tokens = self._tokens(choice)
        for index, token in enumerate(tokens):
            if token in self._ends:
                return tokens[: index + 1]
        return [*tokens, self._ends[0]]

    def _generate(self, prompts: Sequence[list[int]], generation: Generation) -> list[Written]:
        import torch

        ids, mask = self._padded(prompts)
        width = ids.shape[1]
        room = generation.max_tokens if self._context is None else min(generation.max_tokens, self._context - width)
        options: dict[str, Any] = {"do_sample": generation.temperature > _COLDEST}
        if generation.temperature > _COLDEST:
            options |= {"temperature": generation.temperature, "top_p": generation.top_p, "top_k": 0}
        if generation.stop:
            options |= {"stop_strings": list(generation.stop), "tokenizer": self._tokenizer}
        if generation.seed is not None:
            torch.manual_seed(generation.seed)
        with torch.inference_mode():
            written = self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=max(1, room),
                pad_token_id=self._pad,
                eos_token_id=self._ends,
                **options,
            )[:, width:].tolist()
        return [self._read(row, generation) for row in written]

    def _read(self, row: list[int], generation: Generation) -> Written:
        length = next((index + 1 for index, token in enumerate(row) if token in self._ends), len(row))
        text: str = self._tokenizer.decode(row[:length], skip_special_tokens=True)
        for stop in generation.stop:
            text = text.partition(stop)[0]
        return Written(text, row[:length])

    def _score(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[float]:
        import torch

        ids, mask = self._padded([prompt + completion for prompt, completion in pairs])
        keep = max(len(completion) for _, completion in pairs) + 1
        extra: dict[str, Any] = {}
        if self._takes_positions:
            extra["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
        if self._keeps_logits:
            extra["logits_to_keep"] = keep
        with torch.inference_mode():
            logits = self._model(input_ids=ids, attention_mask=mask, **extra).logits[:, -keep:-1]
            likelihoods = torch.log_softmax(logits.float(), -1).gather(2, ids[:, -keep + 1 :, None])[:, :, 0]
        return [float(row[-len(completion) :].sum()) for row, (_, completion) in zip(likelihoods, pairs, strict=True)]

    def _padded(self, sequences: Sequence[list[int]]) -> tuple[Any, Any]:
        import torch

        width = max(len(sequence) for sequence in sequences)
        ids = [[self._pad] * (width - len(sequence)) + sequence for sequence in sequences]
        mask = [[0] * (width - len(sequence)) + [1] * len(sequence) for sequence in sequences]
        device = self._model.device
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    ends: list[int] = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    configured = model.generation_config.eos_token_id
    for token in configured if isinstance(configured, list) else [configured]:
        if token is not None and token not in ends:
            ends.append(token)
    if not ends:
        raise ModelError("the model has no token that ends an answer (eos_token); its tokenizer must define one")
    return ends
