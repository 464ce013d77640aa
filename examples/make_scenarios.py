"""Write the scenario lists of the examples whose teachers are made of rules, one scenario a line.

python examples/make_scenarios.py
"""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

TOPICS = ("refund", "delivery", "repair", "exchange", "invoice", "warranty", "manual", "cancel")
PRODUCTS = ("kettle", "toaster", "blender", "lamp", "heater", "camera", "headset", "printer", "monitor", "keyboard")

DEPARTMENTS = ("payroll", "travel", "security", "computers", "facilities", "training", "legal", "press")
OFFICES = ("Oslo", "Paris", "Cairo", "Lima", "Tokyo", "Delhi", "Boston", "Dublin", "Madrid", "Vienna")

ITEMS = ("lamps", "chairs", "tables", "shelves", "mirrors", "carpets", "vases", "clocks", "benches", "curtains")
COUNTS = ("two", "three", "four", "five", "six", "seven", "eight", "nine")
CITIES = ("Oslo", "Paris", "Cairo", "Lima", "Tokyo", "Delhi")

PURPOSES = ("cancel", "confirm", "decline", "delay", "invite", "remind", "move", "thank")
EVENTS = ("meeting", "interview", "lecture", "dinner", "concert", "inspection", "rehearsal", "training")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def support_desk() -> list[dict]:
    """Every topic with every product in every phrasing."""
    return [
        {"intent": topic, "product": item, "phrasing": phrasing}
        for topic, item, phrasing in product(TOPICS, PRODUCTS, range(5))
    ]


def request_router() -> list[dict]:
    """Every request from every office; the openings take turns."""
    return [
        {"department": department, "request": request, "office": office, "opening": number % 4}
        for number, (department, request, office) in enumerate(product(DEPARTMENTS, range(5), OFFICES))
    ]


def order_extractor() -> list[dict]:
    """Every item in every count to every city; the phrasings take turns. No two orders are the same."""
    return [
        {"item": item, "count": count, "city": city, "phrasing": (first + second + third) % 4}
        for (first, item), (second, count), (third, city) in product(
            enumerate(ITEMS), enumerate(COUNTS), enumerate(CITIES)
        )
    ]


def formal_writer() -> list[dict]:
    """Every purpose with every event on every day; the phrasings take turns. No two sentences are the same."""
    return [
        {"purpose": purpose, "event": event, "day": day, "phrasing": (first + second + third) % 3}
        for (first, purpose), (second, event), (third, day) in product(
            enumerate(PURPOSES), enumerate(EVENTS), enumerate(DAYS)
        )
    ]


LISTS: dict[str, Callable[[], list[dict]]] = {
    "support_desk": support_desk,
    "request_router": request_router,
    "order_extractor": order_extractor,
    "formal_writer": formal_writer,
}


def scenarios(name: str) -> list[dict]:
    return [
        {"num_turns": 1, "chatbot_kwargs": {}, "user_kwargs": user, "user_goes_first": True} for user in LISTS[name]()
    ]


def text(name: str) -> str:
    return "[\n" + ",\n".join(json.dumps(row) for row in scenarios(name)) + "\n]\n"


if __name__ == "__main__":
    for name in LISTS:
        target = Path(__file__).parent / "scenarios" / f"{name}.json"
        target.write_text(text(name), encoding="utf-8")
        print(f"wrote {len(scenarios(name))} scenarios to {target}")
