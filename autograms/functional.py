"""The primitives: ``from autograms.functional import *`` in a program."""

from autograms.primitives.code import execute_code, extract_code
from autograms.primitives.control import GOTO, RETURNTO, TRANSITION, parallel_wrapper, step
from autograms.primitives.deciding import multiple_choice, multiple_choice_logits, yes_or_no
from autograms.primitives.direct import (
    call_chat_completion,
    call_completion,
    call_llm,
    get_batch_embeddings,
    get_single_embedding,
)
from autograms.primitives.history import (
    append_system_prompt,
    extract_full_conv_history,
    extract_last_user_reply,
    get_system_prompt,
    get_turn_history,
    set_system_prompt,
)
from autograms.primitives.speech import EXIT, reply, reply_instruction, reply_suffix
from autograms.primitives.structuring import (
    decision_chain,
    generate_fixed_dict,
    generate_fixed_list,
    generate_list,
    generate_list_of_choices,
    generate_list_of_dicts,
    generate_object,
    thought_chain,
    thought_decision_chain,
)
from autograms.primitives.thinking import silent_thought, thought

__all__ = [
    "EXIT",
    "GOTO",
    "RETURNTO",
    "TRANSITION",
    "append_system_prompt",
    "call_chat_completion",
    "call_completion",
    "call_llm",
    "decision_chain",
    "execute_code",
    "extract_code",
    "extract_full_conv_history",
    "extract_last_user_reply",
    "generate_fixed_dict",
    "generate_fixed_list",
    "generate_list",
    "generate_list_of_choices",
    "generate_list_of_dicts",
    "generate_object",
    "get_batch_embeddings",
    "get_single_embedding",
    "get_system_prompt",
    "get_turn_history",
    "multiple_choice",
    "multiple_choice_logits",
    "parallel_wrapper",
    "reply",
    "reply_instruction",
    "reply_suffix",
    "set_system_prompt",
    "silent_thought",
    "step",
    "thought",
    "thought_chain",
    "thought_decision_chain",
    "yes_or_no",
]
