"""Somebody who jots down what a letter shall say: a purpose, an event and a day, in one of three phrasings."""

from autograms import autograms_function
from autograms.functional import reply

PHRASINGS = {
    "cancel": (
        "the {event} on {day} is off",
        "gotta call off the {event} on {day}",
        "let's scrap {day}'s {event}",
    ),
    "confirm": (
        "the {event} on {day} is still on",
        "see ya at the {event} on {day}",
        "we're all set for {day}'s {event}",
    ),
    "decline": (
        "can't make the {event} on {day}",
        "count me out for the {event} on {day}",
        "i'm not coming to {day}'s {event}",
    ),
    "delay": (
        "running late for the {event} on {day}",
        "i'll be at the {event} on {day} a bit later",
        "gonna be an hour late for {day}'s {event}",
    ),
    "invite": (
        "wanna come to the {event} on {day}?",
        "come along to the {event} on {day}",
        "join us at {day}'s {event}",
    ),
    "remind": (
        "don't forget the {event} on {day}",
        "remember the {event} on {day}?",
        "heads up, {day}'s {event} is near",
    ),
    "move": (
        "another day for the {event} on {day}, please",
        "can we push back the {event} on {day}?",
        "let's reschedule {day}'s {event}",
    ),
    "thank": (
        "thanks for the {event} on {day}",
        "cheers for the {event} on {day}",
        "{day}'s {event} was great",
    ),
}


@autograms_function()
def chatbot(purpose, event, day, phrasing):
    reply(PHRASINGS[purpose][phrasing].format(event=event, day=day))
    while True:
        reply("Thank you.")
