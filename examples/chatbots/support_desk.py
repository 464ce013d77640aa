"""A support desk: finds out what the customer asks for, then answers formally.

The teacher is made of rules: the supervisors below look the topic and the answer up in tables. The deployed program
makes the two plain calls only, so a student that was trained on these conversations must read the customer's words.
"""

from autograms import autograms_function
from autograms.functional import extract_last_user_reply, multiple_choice, reply, reply_instruction, set_system_prompt
from autograms.supervisors import SupervisorReturn

# What a customer may ask for, and the words that give it away.
TOPICS = {
    "refund": ("money back", "refund", "reimburse", "return the payment", "pay me back"),
    "delivery": ("deliver", "arrive", "shipped", "parcel", "on its way"),
    "repair": ("broken", "repair", "fix", "stopped working", "out of order"),
    "exchange": ("exchange", "swap", "replace", "another one", "a different"),
    "invoice": ("invoice", "bill", "receipt", "tax papers", "proof of purchase"),
    "warranty": ("warranty", "guarantee", "covered", "insured", "protection"),
    "manual": ("manual", "instructions", "set up", "how to use", "handbook"),
    "cancel": ("cancel", "call off", "no longer want", "withdraw", "never mind"),
}

# Each product, and the team that looks after it.
TEAMS = {
    "kettle": "kitchen",
    "toaster": "kitchen",
    "blender": "kitchen",
    "lamp": "home",
    "heater": "home",
    "camera": "studio",
    "headset": "studio",
    "printer": "office",
    "monitor": "office",
    "keyboard": "office",
}

FORMAL = {
    "refund": "we shall refund your {product} within five working days.",
    "delivery": "your {product} will be delivered on the next working day.",
    "repair": "we shall collect your {product} for repair tomorrow.",
    "exchange": "we shall exchange your {product} free of charge.",
    "invoice": "the invoice for your {product} has been sent by e-mail.",
    "warranty": "your {product} remains under warranty for two years.",
    "manual": "the manual of your {product} has been sent by post.",
    "cancel": "the order of your {product} has been cancelled.",
}

CASUAL = {
    "refund": "sure, money for the {product} is coming!",
    "delivery": "hey, the {product} gets there tomorrow!",
    "repair": "oh no, we grab the {product} and fix it!",
    "exchange": "cool, take a new {product}!",
    "invoice": "yep, check your mail for the {product} bill!",
    "warranty": "relax, the {product} is good for two years!",
    "manual": "no worries, the {product} booklet is in the post!",
    "cancel": "okay, forget the {product}!",
}


def topic_by_rule(question, choices, text):
    """Supervisor of the decision: the topic whose words stand in what the customer said."""
    found = [topic for topic, words in TOPICS.items() if any(word in text.lower() for word in words)]
    if len(found) != 1:
        raise LookupError(f"the rules need exactly one topic in the customer's text; they found {found or 'none'}")
    return SupervisorReturn(found[0], tags=[found[0]])


def formal_answer(instruction, text, topic):
    """Supervisor of the answer: the formal one is what the student shall say, the casual one what it shall not."""
    product = next((product for product in TEAMS if product in text.lower()), None)
    if product is None:
        raise LookupError(f"the rules need one of these products in the customer's text: {', '.join(TEAMS)}")
    formal = f"Dear customer, {FORMAL[topic].format(product=product)} Regards, the {TEAMS[product]} team."
    casual = CASUAL[topic].format(product=product)
    return SupervisorReturn(formal, rejected_output=casual, score=1.0, tags=[topic, TEAMS[product]])


@autograms_function(conv_scope="local")
def answer(text):
    # A scope of its own: each text is answered for itself, however long the conversation is.
    topics = list(TOPICS)
    topic = topics[
        multiple_choice(
            f"Customer: {text}\nWhat does the customer ask for?",
            topics,
            supervisor=topic_by_rule,
            supervisor_kwargs={"text": text},
        )
    ]
    reply_instruction(
        f"Customer: {text}\nAnswer about: {topic}",
        supervisor=formal_answer,
        supervisor_kwargs={"text": text, "topic": topic},
    )


@autograms_function()
def chatbot():
    set_system_prompt("You are a support desk.")
    if not extract_last_user_reply():
        reply("This is the support desk. What can I do for you?")
    while True:
        answer(extract_last_user_reply())
