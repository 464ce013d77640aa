"""A shopper who orders some of one item to a city, in one of four phrasings."""

from autograms import autograms_function
from autograms.functional import reply

PHRASINGS = (
    "Please send {count} {item} to {city}.",
    "I would like to order {count} {item}, delivered to {city}.",
    "We live in {city} and need {count} {item}.",
    "Can you bring {count} of your {item} to my house in {city}?",
)


@autograms_function()
def chatbot(item, count, city, phrasing):
    reply(PHRASINGS[phrasing].format(item=item, count=count, city=city))
    while True:
        reply("Thank you.")
