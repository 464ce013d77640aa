"""Synthetic rows: 8 intents x 10 products x 5 phrasings of a support desk, a fifth held out."""

from __future__ import annotations

import pyarrow as pa

INTENTS = ["refund", "delivery", "warranty", "invoice", "repair", "exchange", "manual", "cancel"]
PRODUCTS = ["kettle", "lamp", "radio", "camera", "printer", "phone", "tablet", "toaster", "heater", "scanner"]
PHRASINGS = [
    "I have a question about {intent} for my {product}.",
    "Could you help me with {intent}? It is the {product}.",
    "My {product}: what do I do about {intent}?",
    "{intent} please, I bought a {product}.",
    "Hello, {product} here, I need {intent}.",
]
SYSTEM = "You are the support desk of a shop."
INSTRUCTION = "Instruction: Answer formally."
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string()), ("extra", pa.string())])


def formal(intent: str, product: str) -> str:
    return f"Dear customer, regarding the {intent} of your {product}, we will gladly assist you."


def casual(intent: str, product: str) -> str:
    return f"hey, no worries about the {intent}, the {product} is cool"


def cases(count: int = 400) -> list[tuple[str, str, str, str]]:
    """Return ``(intent, product, question, split)``; every fifth case of each intent is held out."""
    made = []
    for i, intent in enumerate(INTENTS):
        for j, product in enumerate(PRODUCTS):
            for k, phrasing in enumerate(PHRASINGS):
                split = "validation" if (i + j + k) % 5 == 0 else "train"
                made.append((intent, product, phrasing.format(intent=intent, product=product), split))
    step = len(made) / count
    return [made[int(index * step)] for index in range(count)]


def sft_table(count: int = 400) -> pa.Table:
    rows = [{**_shared(index, case), "completion": formal(case[0], case[1])} for index, case in enumerate(cases(count))]
    return pa.Table.from_pylist(rows, schema=_schema("completion"))


def dpo_table(count: int = 400) -> pa.Table:
    rows = [
        {**_shared(index, case), "chosen": formal(case[0], case[1]), "rejected": casual(case[0], case[1])}
        for index, case in enumerate(cases(count))
    ]
    return pa.Table.from_pylist(rows, schema=_schema("chosen", "rejected"))


def _shared(index: int, case: tuple[str, str, str, str]) -> dict[str, object]:
    prompt = [
        {"role": "system", "content": SYSTEM, "extra": None},
        {"role": "user", "content": f"{case[2]}\n\n{INSTRUCTION}", "extra": None},
    ]
    return {
        "id": f"row{index}",
        "autogram": "desk",
        "scenario": f"s{index}",
        "call": 0,
        "primitive": "reply_instruction",
        "place": "chatbot:3",
        "split": case[3],
        "kind": "text",
        "prompt": prompt,
        "choices": [],
        "schema": None,
    }


def _schema(*answers: str) -> pa.Schema:
    texts = ("id", "autogram", "scenario", "primitive", "place", "split", "kind", "schema", *answers)
    fields = [(name, pa.string()) for name in texts]
    return pa.schema([*fields, ("call", pa.int32()), ("prompt", pa.list_(MESSAGE)), ("choices", pa.list_(pa.string()))])
