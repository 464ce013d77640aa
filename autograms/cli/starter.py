"""The files of a new project, as ``autograms init`` writes them."""

from __future__ import annotations

__all__ = ["STARTER"]

_CHATBOT = '''"""Greets people by the time of day. The deployed program asks a model; the supervisor has the answer."""

from autograms import autograms_function
from autograms.functional import extract_last_user_reply, reply_instruction, set_system_prompt
from autograms.supervisors import SupervisorReturn


def polite_greeting(instruction):
    said = extract_last_user_reply()
    time = next((time for time in ("morning", "afternoon", "evening") if time in said), "day")
    return SupervisorReturn(f"Good {time}! How may I help you?", rejected_output="yo, what's up", tags=["greeting"])


@autograms_function()
def chatbot():
    set_system_prompt("You greet people.")
    while True:
        reply_instruction("Greet the person by the time of day.", supervisor=polite_greeting)
'''

_USERBOT = '''"""Somebody who comes in and says who they are."""

from autograms import autograms_function
from autograms.functional import reply


@autograms_function()
def chatbot(name, time):
    reply(f"Hello, my name is {name}. What a fine {time}!")
    while True:
        reply("Thank you.")
'''

_SCENARIOS = """[
{"grid": {"name": ["Ada", "Alan", "Barbara", "Donald", "Edsger", "Frances", "Grace", "Hedy",
                   "John", "Katherine", "Ken", "Lynn", "Niklaus", "Radia", "Shafi", "Tony"],
          "time": ["morning", "afternoon", "evening"]},
 "num_turns": 1, "user_goes_first": true}
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
