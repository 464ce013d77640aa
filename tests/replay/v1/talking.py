"""Speech, thoughts, and the history that they leave."""

from autograms import autograms_function
from autograms.functional import *


@autograms_function()
def chatbot(name):
    set_system_prompt(f"You talk to {name}.")
    reply("Hello!", data={"mood": "good"})
    while True:
        thought("What does the user want?")
        silent_thought("Is there anything to hide?", max_turns=1, temperature=0.5)
        reply_instruction("Answer the user.")
        append_system_prompt("Be brief.")
        reply_suffix("Anything else?")
        EXIT({"reply": "Bye.", "code": 7})
