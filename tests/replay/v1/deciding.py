"""Decisions and structured answers."""

from pydantic import BaseModel

from autograms.functional import *


class Person(BaseModel):
    name: str
    age: int


def chatbot():
    reply(str(yes_or_no("Is it?")))
    reply(str(multiple_choice("Which?", ["red", "green"])))
    found = [
        generate_list("List."),
        generate_fixed_list("Two.", 2),
        generate_list_of_choices("Pick.", ["x", "y"]),
        generate_fixed_dict("Fill.", ["k"]),
        generate_list_of_dicts("Rows.", ["k"]),
        generate_object("Object.", {"type": "object", "properties": {"n": {"type": "integer"}}}),
        repr(generate_object("Person.", Person)),
        thought_chain("Think.", ["first", "second"]),
        decision_chain("Decide.", [{"question": "r?", "choices": ["x", "y"]}]),
        [round(share, 3) for share in multiple_choice_logits("How likely?", ["a", "b"])],
    ]
    reply(str(found))
    reply(
        str(
            [call_llm("Direct."), call_completion("Direct."), call_chat_completion([{"role": "user", "content": "Hi"}])]
        )
    )
    reply(str(get_single_embedding("text")))
    reply_instruction("Close.")
