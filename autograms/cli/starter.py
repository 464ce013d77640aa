"""The files of a new project, as ``autograms init`` writes them."""

from __future__ import annotations

__all__ = ["STARTER"]

_CHATBOT = '''"""Greets people by name. The deployed program asks its model; the supervisor gives the answer we want."""

from autograms import autograms_function
from autograms.functional import extract_last_user_reply, reply_instruction, set_system_prompt
from autograms.supervisors import SupervisorReturn


def polite_greeting(instruction):
    name = extract_last_user_reply().removesuffix(".").split()[-1]
    return SupervisorReturn(f"Good day, {name}. How may I help you?", rejected_output=f"yo {name}", tags=["greeting"])


@autograms_function()
def chatbot():
    set_system_prompt("You greet people.")
    while True:
        reply_instruction("Greet the person by name.", supervisor=polite_greeting)
'''

_USERBOT = '''"""Somebody who says their name."""

from autograms import autograms_function
from autograms.functional import reply


@autograms_function()
def chatbot(name):
    reply(f"Hello, my name is {name}.")
    while True:
        reply("Thank you.")
'''

_SCENARIOS = """[
{"num_turns": 1, "user_kwargs": {"name": "Ada"}, "user_goes_first": true},
{"num_turns": 1, "user_kwargs": {"name": "Grace"}, "user_goes_first": true},
{"num_turns": 1, "user_kwargs": {"name": "Alan"}, "user_goes_first": true},
{"num_turns": 1, "user_kwargs": {"name": "Edsger"}, "user_goes_first": true},
{"num_turns": 1, "user_kwargs": {"name": "Barbara"}, "user_goes_first": true},
{"num_turns": 1, "user_kwargs": {"name": "Donald"}, "user_goes_first": true}
]
"""

_SETTINGS = """# [defaults] holds for every autogram in chatbots/; [autograms.NAME] overrides it for one.

[autograms.greeter]
userbot = "visitor"             # userbots/visitor.py
scenarios = "greeter.json"      # scenarios/greeter.json
model = "offline/demo"          # a teacher of your choice, for example "openai/gpt-4o-mini"

[autograms.greeter.sft]
model = "tiny"                  # the embedded student; a folder or a name on the Hugging Face hub
max_steps = 60

[autograms.greeter.dpo]
model = "sft"                   # starts from the finetuned model
max_steps = 10
"""

_IGNORED = """storage/
.dagster/
"""

STARTER: dict[str, str] = {
    "chatbots/greeter.py": _CHATBOT,
    "userbots/visitor.py": _USERBOT,
    "scenarios/greeter.json": _SCENARIOS,
    "autograms.toml": _SETTINGS,
    ".gitignore": _IGNORED,
}
"""Path in the project's folder, and text."""
