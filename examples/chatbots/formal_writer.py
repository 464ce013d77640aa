"""A formal writer: turns a note that was jotted down into a sentence for a letter.

The teacher is made of rules: the supervisor reads what the note is about and writes the sentence. The deployed program
makes one call, so a student that was trained on these conversations must find out the purpose, the event and the day by
itself, and write formally without being shown how.
"""

from autograms import autograms_function
from autograms.functional import extract_last_user_reply, reply, reply_instruction, set_system_prompt
from autograms.supervisors import SupervisorReturn

EVENTS = ("meeting", "interview", "lecture", "dinner", "concert", "inspection", "rehearsal", "training")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

# What a note may be for, and the words that give it away.
PURPOSES = {
    "cancel": ("is off", "call off", "scrap"),
    "confirm": ("still on", "see ya", "all set"),
    "decline": ("can't make", "count me out", "not coming"),
    "delay": ("running late", "a bit later", "hour late"),
    "invite": ("wanna come", "come along", "join us"),
    "remind": ("don't forget", "remember", "heads up"),
    "move": ("another day", "push back", "reschedule"),
    "thank": ("thanks", "cheers", "was great"),
}

FORMAL = {
    "cancel": "I regret to inform you that the {event} on {day} has been cancelled.",
    "confirm": "I am pleased to confirm that the {event} on {day} will take place.",
    "decline": "I regret that I am unable to attend the {event} on {day}.",
    "delay": "Please accept my apologies: I shall arrive late for the {event} on {day}.",
    "invite": "It would be an honour to welcome you to the {event} on {day}.",
    "remind": "May I kindly remind you of the {event} on {day}.",
    "move": "I would be grateful if the {event} on {day} could be rescheduled.",
    "thank": "I should like to express my gratitude for the {event} on {day}.",
}

CASUAL = {
    "cancel": "sorry folks, no {event} on {day}!",
    "confirm": "yep, {event} on {day}, be there!",
    "decline": "nah, the {event} on {day} is not for me!",
    "delay": "oops, late for the {event} on {day}!",
    "invite": "hey, {event} on {day}, come!",
    "remind": "psst, {event} on {day}!",
    "move": "can we do the {event} some time after {day}?",
    "thank": "wow, what a {event} on {day}!",
}


def formal_sentence(instruction, text):
    """Supervisor of the sentence: the formal one is what the student shall write, the casual one what it shall not."""
    note = text.lower()
    purposes = [purpose for purpose, words in PURPOSES.items() if any(word in note for word in words)]
    events = [event for event in EVENTS if event in note]
    days = [day for day in DAYS if day.lower() in note]
    if not len(purposes) == len(events) == len(days) == 1:
        raise LookupError(f"the rules need one purpose, event and day; they found {purposes}, {events} and {days}")
    values = {"event": events[0], "day": days[0]}
    formal, casual = FORMAL[purposes[0]].format(**values), CASUAL[purposes[0]].format(**values)
    return SupervisorReturn(formal, rejected_output=casual, score=1.0, tags=purposes)


@autograms_function(conv_scope="local")
def write(text):
    # A scope of its own: each note is written for itself, however many came before.
    reply_instruction(
        f"Note: {text}\nWrite this as a sentence of a letter.",
        supervisor=formal_sentence,
        supervisor_kwargs={"text": text},
    )


@autograms_function()
def chatbot():
    set_system_prompt("You write letters.")
    if not extract_last_user_reply():
        reply("What shall I write?")
    while True:
        write(extract_last_user_reply())
