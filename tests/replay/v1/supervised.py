"""Supervisors, nested calls, and what they keep to themselves."""

from autograms import autograms_function
from autograms.functional import *
from autograms.supervisors import SupervisorReturn


def deeper(instruction):
    return silent_thought("Deeper.")


@autograms_function(conv_scope="local")
def careful(instruction, *args, **kwargs):
    set_system_prompt("Inside.")
    draft = thought("Draft.")
    best = silent_thought("Improve.", supervisor=deeper)
    return SupervisorReturn(f"{draft} {best}", score=0.9, rejected_output=[draft, "worse"], tags=["draft"])


def choose(question, **kwargs):
    return SupervisorReturn(yes_or_no("Really?"), rejected_output="No")


@autograms_function()
def chatbot():
    reply_instruction("Greet.", supervisor=careful)
    if yes_or_no("Go on?", supervisor=choose):
        reply_instruction("Go on.", supervisor=careful, topic="weather")
    reply("Done.")
    reply_instruction("Close.", supervisor=careful)
