"""Small programs that the simulation tests write and run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from autograms import Autogram
from autograms.models import OpenAIModel, RetryPolicy

HEADER = """
import random
from autograms import autograms_function
from autograms.functional import *
from autograms.supervisors import SupervisorReturn
"""
CHATBOT = """
@autograms_function()
def chatbot(topic="tea"):
    set_system_prompt(f"You sell {topic}.")
    while True:
        if yes_or_no("Is the customer content?"):
            reply_instruction("Thank the customer.")
        else:
            reply_instruction("Answer the customer.")
"""
USERBOT = """
@autograms_function()
def chatbot(name="Ann"):
    while True:
        reply(f"{name} asks question {random.randint(1, 1000)}")
"""

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a program's file and return its path."""

    def write(name: str, body: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(HEADER + dedent(body))
        return path

    return write


@pytest.fixture
def load(write: Write) -> Callable[..., Autogram]:
    """Write a program and return its autogram."""

    def load(name: str, body: str, **options: Any) -> Autogram:
        return Autogram.from_file(write(name, body), **options)

    return load


def model_at(url: str, **options: Any) -> OpenAIModel:
    """Return a model at the tests' endpoint that gives up soon."""
    retry = RetryPolicy(max_tries=options.pop("max_tries", 3))
    return OpenAIModel("test-model", base_url=url, api_key="none", retry=retry, **options)
