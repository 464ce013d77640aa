"""Jumps, scopes, several calls on a line, and constructs that hold suspended calls."""

from autograms import autograms_function
from autograms.functional import *
from autograms.nodes import location


@autograms_function(conv_scope="local")
def aside(topic):
    reply_instruction(f"Say something about {topic}.")
    if topic == "b":
        RETURNTO("again")
    return extract_last_user_reply()


@autograms_function(conv_scope="normal")
def inner():
    for topic in ["a", "b"]:
        try:
            aside(topic)
        finally:
            silent_thought(f"After {topic}.")


@autograms_function()
def chatbot():
    rounds = 0
    location(ADDRESS="again")
    rounds += 1
    if rounds == 1:
        inner()
    [reply(f"{rounds}.{n}") for n in range(2)]; reply("same line")  # fmt: skip  # noqa: E702
    TRANSITION("Where to?", {"on": "on", "back": "again"})
    reply("never")
    reply("the end", ADDRESS="on")
