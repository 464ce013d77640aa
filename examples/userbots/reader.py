"""A reader of the article, played by a model: who the reader is, the scenario says."""

from autograms import autograms_function
from autograms.functional import reply_instruction, set_system_prompt


@autograms_function()
def chatbot(system_prompt):
    set_system_prompt(system_prompt)
    while True:
        reply_instruction("Write the reader's next message: one or two sentences, and nothing else.")
