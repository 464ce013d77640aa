"""``AutogramConfig``: how a program asks its model, in AutoGRAMS' names.

What does not belong here: which model a project simulates with (``autograms.settings.project``).
"""

from __future__ import annotations

import warnings
from typing import Any

from pydantic import Field, ValidationError, model_validator

from autograms.errors import SettingsError, nearest
from autograms.settings.strict import Strict, first_problem

__all__ = ["AutogramConfig"]

_ARGUMENTS = frozenset({"temperature", "top_p", "top_k", "seed", "stop", "frequency_penalty", "presence_penalty"})
"""Keywords of endpoints that people take for options."""

_WITHOUT_EFFECT = {
    "error_response": "errors are never answered with a canned text; the conversation fails with a clear message",
    "banned_phrases": "outputs are never filtered; use a supervisor",
    "post_process_response": "outputs are kept as the model wrote them",
    "chatbot_max_input_len": "prompts are never cut in silence",
    "classifier_max_input_len": "prompts are never cut in silence",
    "chatbot_wait_per_try": "waits follow the endpoint's Retry-After and grow with jitter",
    "classifier_wait_per_try": "waits follow the endpoint's Retry-After and grow with jitter",
    "reply_start_type": "the chat API needs no start of a reply",
    "default_reply_start_template": "the chat API needs no start of a reply",
    "user_instruction_template": "a userbot is a program of its own",
    "system_prompt_in_turns": "the system prompt is a message of its own",
    "classifier_mode": "choices are asked the same way of every model",
    "agent_name": "roles are the chat API's",
    "user_name": "roles are the chat API's",
    "instruction_name": "set instruction_template",
    "classifier_proxy_port": "decisions go to the chatbot's endpoint; set base_url, and classifier_path for the model",
    "embedding_proxy_port": "embeddings go to the chatbot's endpoint; set base_url, and embedding_path for the model",
    "embedding_type": "embeddings go to the chatbot's endpoint; set embedding_path for the model",
}
_PROVIDERS = {"proxy": "openai", "huggingface_tgi": "openai", "huggingface": "checkpoint"}


class AutogramConfig(Strict):
    """How a program asks its model. AutoGRAMS' configuration names load; those without an effect are warned about.

    Attributes:
        chatbot_type: Provider of the model: ``openai``, ``checkpoint`` or ``offline`` (AutoGRAMS' ``proxy`` and
            ``huggingface_tgi`` stand for ``openai`` with a ``base_url``).
        chatbot_path: The model's name at that provider.
        classifier_type: Provider of the model that decides; as ``chatbot_type`` where unset.
        classifier_path: The model that decides; as ``chatbot_path`` where unset.
        embedding_path: The model for embeddings.
        base_url: URL of an OpenAI-compatible endpoint; ``OPENAI_BASE_URL`` where unset.
        chatbot_proxy_port: AutoGRAMS' way to say ``base_url="http://localhost:PORT/v1"``.
        max_tokens: Longest answer, in tokens; the endpoint's own limit where unset.
        chatbot_generation_args: Keywords of the chat API for every generating call.
        chatbot_max_tries: How often a request that failed for a passing reason is sent in all.
        classifier_max_tries: How often a decision is asked in all when the answer is none of the choices.
        default_prompt: System prompt where the program sets none.
        instruction_template: Text of an instruction in a prompt; must hold ``<instruction>``.
        default_question_prompt: Text before a question with choices.
        reply_suffix_inst_conversion: Instruction of ``reply_suffix``; must hold ``<instruction>``.
        exclude_classifier_system_prompt: Decide without the system prompt.
        default_transition_context: User turns that a decision sees.
        watchdog_seconds: How long a program may run on with neither a reply nor a call; 0 for ever.
        max_calls_per_turn: How many calls a program may make in one turn; 0 for any number.
        sandbox_command: Command that ``execute_code`` puts before the interpreter; what the system offers where unset.
    """

    chatbot_type: str = "openai"
    chatbot_path: str = "gpt-4o-mini"
    classifier_type: str | None = None
    classifier_path: str | None = None
    embedding_path: str = "text-embedding-3-small"
    base_url: str | None = None
    chatbot_proxy_port: int | None = None
    max_tokens: int | None = None
    chatbot_generation_args: dict[str, Any] = Field(default_factory=dict)
    chatbot_max_tries: int = Field(default=6, ge=1)
    classifier_max_tries: int = Field(default=2, ge=1)
    default_prompt: str | None = None
    instruction_template: str = "Instruction: <instruction>"
    default_question_prompt: str | None = None
    reply_suffix_inst_conversion: str = (
        "Reply to what the user said last, and close with this text, word for word: <instruction>"
    )
    exclude_classifier_system_prompt: bool = False
    default_transition_context: int = Field(default=1, ge=0)
    watchdog_seconds: float = Field(default=30.0, ge=0)
    max_calls_per_turn: int = Field(default=200, ge=0)
    sandbox_command: str | None = None

    def __init__(self, **values: Any) -> None:
        if "max_response_len" in values:
            values["max_tokens"] = values.pop("max_response_len")
        for name in [name for name in values if name in _WITHOUT_EFFECT]:
            if values.pop(name) is not None:
                warnings.warn(f"AutogramConfig: {name!r} has no effect: {_WITHOUT_EFFECT[name]}", stacklevel=2)
        if values.get("chatbot_generation_args", ...) is None:
            del values["chatbot_generation_args"]
        for name in ("instruction_template", "reply_suffix_inst_conversion"):
            if values.get(name, ...) is None:
                del values[name]
        unknown = set(values) - set(type(self).model_fields)
        if unknown:
            word = sorted(unknown)[0]
            hint = nearest(word, type(self).model_fields)
            if word in _ARGUMENTS:
                hint = f"; what the endpoint gets as it is stands in chatbot_generation_args, as {{{word!r}: ...}}"
            raise SettingsError(f"AutogramConfig: unknown option {word!r}{hint}")
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(f"AutogramConfig: {first_problem(error)}") from None

    @model_validator(mode="after")
    def _templates_hold_the_instruction(self) -> AutogramConfig:
        for name in ("instruction_template", "reply_suffix_inst_conversion"):
            if "<instruction>" not in getattr(self, name):
                raise ValueError(f"{name} must hold <instruction>")
        return self

    @property
    def chatbot_model(self) -> str:
        """``provider/model`` of the generating model."""
        return f"{_PROVIDERS.get(self.chatbot_type, self.chatbot_type)}/{self.chatbot_path}"

    @property
    def classifier_model(self) -> str | None:
        """``provider/model`` of the deciding model, ``None`` where it is the generating one."""
        if self.classifier_path is None and self.classifier_type is None:
            return None
        provider = self.classifier_type or self.chatbot_type
        return f"{_PROVIDERS.get(provider, provider)}/{self.classifier_path or self.chatbot_path}"

    @property
    def endpoint(self) -> str | None:
        """URL of the endpoint, where one is set."""
        if self.base_url is None and self.chatbot_proxy_port is not None:
            return f"http://localhost:{self.chatbot_proxy_port}/v1"
        return self.base_url
