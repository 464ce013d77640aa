"""Has changed since its conversation was recorded: it asked for a short answer then."""

from autograms.functional import *


def chatbot():
    reply("Hello!")
    reply_instruction("Give a long answer.")
    reply("Done.")
