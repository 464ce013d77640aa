"""An order extractor: reads what a customer orders in a sentence, and takes it down as item, count and city.

The teacher is made of rules: the supervisor looks the words up. The deployed program asks for one object, so a student
that was trained on these conversations must find the three values in the sentence, and write valid JSON.
"""

import random

from autograms import autograms_function
from autograms.functional import extract_last_user_reply, generate_fixed_dict, reply, set_system_prompt
from autograms.supervisors import SupervisorReturn

# What a sentence may hold, and what is taken down for it.
VALUES = {
    "item": {
        "lamps": "lamp",
        "chairs": "chair",
        "tables": "table",
        "shelves": "shelf",
        "mirrors": "mirror",
        "carpets": "carpet",
        "vases": "vase",
        "clocks": "clock",
        "benches": "bench",
        "curtains": "curtain",
    },
    "count": {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9"},
    "city": {"oslo": "Oslo", "paris": "Paris", "cairo": "Cairo", "lima": "Lima", "tokyo": "Tokyo", "delhi": "Delhi"},
}


def order_by_rule(instruction, keys, text):
    """Supervisor of the order: what the words say. An order with one value read wrongly is worse."""
    words = text.lower().replace(".", " ").replace(",", " ").replace("?", " ").split()
    order, others = {}, {}
    for key in keys:
        found = [value for word, value in VALUES[key].items() if word in words]
        if len(found) != 1:
            raise LookupError(f"the rules need exactly one {key} in the sentence; they found {found or 'none'}")
        order[key] = found[0]
        others[key] = [value for value in VALUES[key].values() if value != found[0]]
    wrong = random.choice(keys)
    return SupervisorReturn(order, rejected_output={**order, wrong: random.choice(others[wrong])}, score=1.0)


@autograms_function(conv_scope="local")
def take_down(text):
    # A scope of its own: each order is read for itself, however many came before.
    return generate_fixed_dict(
        f"Customer: {text}\nTake down the order.",
        ["item", "count", "city"],
        supervisor=order_by_rule,
        supervisor_kwargs={"text": text},
    )


@autograms_function()
def chatbot():
    set_system_prompt("You take down orders.")
    if not extract_last_user_reply():
        reply("What would you like to order?")
    while True:
        order = take_down(extract_last_user_reply())
        reply(f"Noted: {order['count']} x {order['item']}, to be delivered to {order['city']}.")
