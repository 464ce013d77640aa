"""The plain userbot: a user played by a model, where no userbot file is given."""

from autograms.primitives.history import set_system_prompt
from autograms.primitives.speech import reply_instruction
from autograms.program.decorators import autograms_function

__all__ = ["chatbot"]


@autograms_function()
def chatbot(
    system_prompt: str = "You play a person who talks to a chatbot. Stay in that role.",
    instruction: str = "Write the person's next message, and nothing else.",
) -> None:
    """Play the user by a system prompt; scenarios may give their own in ``user_kwargs``."""
    set_system_prompt(system_prompt)
    while True:
        reply_instruction(instruction)
