"""The public names, pinned: removing one breaks programs that people have written."""

import importlib

import pytest

NAMES = {
    "autograms": [
        "Autogram",
        "AutogramConfig",
        "AutogramsReturn",
        "Memory",
        "MemoryObject",
        "__version__",
        "autograms_chatbot",
        "autograms_external",
        "autograms_function",
        "autograms_node",
        "load_autogram",
        "use_config",
    ],
    "autograms.functional": [
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
    ],
    "autograms.nodes": [
        "EXIT",
        "GOTO",
        "RETURNTO",
        "TRANSITION",
        "as_node",
        "location",
        "reply",
        "reply_instruction",
        "reply_suffix",
        "silent_thought",
        "thought",
    ],
    "autograms.memory": ["Memory", "MemoryObject", "UserGlobals", "get_memory", "init_user_globals"],
    "autograms.supervisors": ["SupervisorReturn"],
}


@pytest.mark.parametrize("module", NAMES)
def test_public_names(module):
    loaded = importlib.import_module(module)
    assert sorted(loaded.__all__) == NAMES[module]
    assert all(hasattr(loaded, name) for name in NAMES[module])


def test_scripted_model_is_public():
    from autograms.models import ScriptedModel

    assert ScriptedModel(["x"]).requests == []


def test_functional_is_quick_to_import():
    import subprocess
    import sys

    heavy = ("torch", "dagster", "pandas", "openai")
    code = f"import sys, autograms.functional; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"
