"""A project in a temporary folder: a small support desk with a rule-made teacher, no key and no network."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

CHATBOT = """
from autograms import autograms_function
from autograms.functional import extract_last_user_reply, reply_instruction, set_system_prompt
from autograms.supervisors import SupervisorReturn

from _wording import GREETING


def formal(instruction):
    text = extract_last_user_reply()
    return SupervisorReturn(f"{GREETING} we noted: {text}", rejected_output=f"ok {text}", score=1.0, tags=["desk"])


@autograms_function()
def chatbot():
    set_system_prompt("You run a desk.")
    while True:
        reply_instruction("Answer formally.", supervisor=formal)
"""

WORDING = 'GREETING = "Dear customer,"\n'

USERBOT = """
from autograms import autograms_function
from autograms.functional import reply


@autograms_function()
def chatbot(item):
    reply(f"I have a question about the {item}.")
    while True:
        reply("Thank you.")
"""

BRIEF_TRAINING = """
[defaults.sft]
max_steps = 2
batch_size = 4

[defaults.dpo]
max_steps = 2
batch_size = 4
"""

SETTINGS = f"""
[defaults]
model = "offline/demo"
num_turns = 1
userbot = "customer"
scenarios = "items.json"
{BRIEF_TRAINING}"""

ITEMS = ("lamp", "kettle", "desk", "chair", "phone", "clock", "rug", "mirror", "fan", "stove")


class ScratchProject:
    """A project's folder whose files tests write, as they stood some time ago unless told otherwise."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._ticks = 0

    def write(self, name: str, text: str, *, age: float = 3600.0) -> Path:
        """Write a file that was last changed ``age`` seconds ago; each write has a time of its own."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self._ticks += 1
        moment = time.time() - age + self._ticks * 0.001
        os.utime(path, (moment, moment))
        return path

    def edit(self, name: str, old: str, new: str, *, age: float = 3600.0) -> None:
        """Replace a text in a file."""
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new), age=age)

    def add(self, name: str, source: str = CHATBOT, *, age: float = 3600.0) -> None:
        """Add an autogram."""
        self.write(f"chatbots/{name}.py", source, age=age)

    def remove(self, name: str) -> None:
        """Remove a file."""
        (self.root / name).unlink()


def make_project(root: Path, *names: str) -> ScratchProject:
    """Write a project with a desk under each of the names."""
    project = ScratchProject(root)
    project.write("autograms.toml", SETTINGS)
    project.write("chatbots/_wording.py", WORDING)
    for name in names:
        project.add(name)
    project.write("userbots/customer.py", USERBOT)
    project.write(
        "scenarios/items.json",
        json.dumps([{"num_turns": 1, "user_kwargs": {"item": item}, "user_goes_first": True} for item in ITEMS]),
    )
    return project
