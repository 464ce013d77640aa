"""A customer of the support desk, who says what the scenario wants: a topic, a product, and one of five phrasings."""

from autograms import autograms_function
from autograms.functional import reply

PHRASINGS = {
    "refund": (
        "I want my money back for the {product}.",
        "Please refund the {product} I bought.",
        "Can you reimburse me for this {product}?",
        "Kindly return the payment for my {product}.",
        "You should pay me back for the {product}.",
    ),
    "delivery": (
        "When will you deliver my {product}?",
        "The {product} did not arrive yet.",
        "Has the {product} been shipped?",
        "Where is the parcel with my {product}?",
        "Is my {product} on its way?",
    ),
    "repair": (
        "My {product} is broken.",
        "Please repair the {product}.",
        "Can someone fix this {product}?",
        "The {product} stopped working today.",
        "Our {product} is out of order.",
    ),
    "exchange": (
        "I would like to exchange the {product}.",
        "Can I swap my {product}?",
        "Please replace this {product}.",
        "Give me another one, this {product} is too small.",
        "I need a different {product}.",
    ),
    "invoice": (
        "Please send the invoice for my {product}.",
        "Where is the bill of the {product}?",
        "I lost the receipt of this {product}.",
        "My accountant asks for the tax papers of the {product}.",
        "I need a proof of purchase for the {product}.",
    ),
    "warranty": (
        "Does the {product} have a warranty?",
        "How long is the guarantee of my {product}?",
        "Is this {product} still covered?",
        "Am I insured with the {product}?",
        "What protection do I have for the {product}?",
    ),
    "manual": (
        "I cannot find the manual of the {product}.",
        "Where are the instructions for this {product}?",
        "How do I set up the {product}?",
        "Tell me how to use my {product}.",
        "The {product} came with no handbook.",
    ),
    "cancel": (
        "Please cancel my {product}.",
        "I must call off the order of the {product}.",
        "I no longer want the {product}.",
        "May I withdraw from buying the {product}?",
        "Never mind the {product} I ordered.",
    ),
}


@autograms_function()
def chatbot(intent, product, phrasing):
    reply(PHRASINGS[intent][phrasing].format(product=product))
    while True:
        reply("Thank you.")
