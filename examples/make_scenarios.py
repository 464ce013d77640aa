"""Write ``scenarios/support_desk.json``: every topic with every product in every phrasing, one scenario a line.

python examples/make_scenarios.py
"""

import json
from itertools import product
from pathlib import Path

TOPICS = ("refund", "delivery", "repair", "exchange", "invoice", "warranty", "manual", "cancel")
PRODUCTS = ("kettle", "toaster", "blender", "lamp", "heater", "camera", "headset", "printer", "monitor", "keyboard")
PHRASINGS = range(5)


def scenarios() -> list[dict]:
    return [
        {
            "num_turns": 1,
            "chatbot_kwargs": {},
            "user_kwargs": {"intent": topic, "product": item, "phrasing": phrasing},
            "user_goes_first": True,
        }
        for topic, item, phrasing in product(TOPICS, PRODUCTS, PHRASINGS)
    ]


def text() -> str:
    return "[\n" + ",\n".join(json.dumps(row) for row in scenarios()) + "\n]\n"


if __name__ == "__main__":
    target = Path(__file__).parent / "scenarios" / "support_desk.json"
    target.write_text(text(), encoding="utf-8")
    print(f"wrote {len(scenarios())} scenarios to {target}")
