"""Memories for tests: realistic ones by hand, and any at all by hypothesis."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from autograms.conversation.record import NONE, Call, Memory, Prompt, Turn

PRODUCTS = ("lamp", "kettle", "chair", "radio", "tent")


class Recorder:
    """Builds a memory the way a running program does: a pool, a tree and calls over them."""

    def __init__(self, **fields: object) -> None:
        self.memory = Memory(**{"autogram": "desk", "scenario": "s0", "fingerprint": "f0", **fields})
        self.system = NONE
        self.last = NONE
        self._pool: dict[tuple[str, str, str | None], int] = {}

    def message(self, role: str, content: str, extra: str | None = None) -> int:
        key = (role, content, extra)
        if key not in self._pool:
            self._pool[key] = len(self.memory.messages)
            self.memory.messages.append(key)
        return self._pool[key]

    def node(self, role: str, content: str, extra: str | None = None) -> int:
        self.memory.history.append((self.last, self.message(role, content, extra)))
        self.last = len(self.memory.history) - 1
        return self.last

    def set_system(self, text: str) -> None:
        self.system = self.message("system", text)

    def say(self, role: str, content: str) -> None:
        self.node(role, content)
        self.memory.turns.append(Turn(role, content, len(self.memory.calls)))

    def call(
        self, primitive: str, ask: str, output: str | None, *, first: int = 0, kind: str = "text", **fields
    ) -> int:
        visible = first if self.last != NONE else NONE
        prompt = Prompt(self.system, visible, self.last, self.message("instruction", ask))
        self.memory.calls.append(Call(primitive, kind, prompt, output, **fields))
        return len(self.memory.calls) - 1


def desk_memory(number: int = 0, *, product: str | None = None, **fields: object) -> Memory:
    """A support conversation: a windowed decision, a supervised reply with nested calls, an object, a user's call."""
    product = product or f"{PRODUCTS[number % len(PRODUCTS)]} {number}"
    recorder = Recorder(**{"scenario": f"s{number}", "seed": number, **fields})
    recorder.set_system("You answer customers.")
    recorder.say("assistant", "Good day.")
    recorder.say("user", f"my {product} broke")
    recorder.memory.calls.append(
        Call("reply", "text", Prompt(ask=recorder.message("instruction", "Complain.")), f"my {product} broke", "user")
    )
    recorder.call(
        "yes_or_no", "Is something broken?", "Yes", first=1, kind="choice", choices=("Yes", "No"), supervised=True,
        supervisor="rules", tags=("decision",), rejected=("No",), model=None,
    )  # fmt: skip
    parent = recorder.call(
        "reply_instruction", "Answer formally.", f"We regret that your {product} broke.", supervised=True,
        supervisor="formal", score=0.9, tags=("formal", "long answer"), rejected=(f"oops, {product} broke", "lol"),
        place="chatbot:12", milliseconds=3.5, request="ab12",
    )  # fmt: skip
    recorder.call(
        "thought", "Think about it.", f"The {product} is broken.", parent=parent, model="openai/x", cost_usd=0.1
    )
    recorder.say("assistant", f"We regret that your {product} broke.")
    recorder.call(
        "generate_object", "Write a ticket.", json.dumps({"product": product}), kind="object", score=0.2,
        schema='{"type": "object"}', model="openai/gpt-4o-mini", input_tokens=20, output_tokens=5, cost_usd=0.01,
    )  # fmt: skip
    recorder.call("step", "", "42", kind="step")
    recorder.call("thought", "Think again.", None, error="EndpointError: gone")
    return recorder.memory


def desk_memories(count: int) -> list[Memory]:
    """That many support conversations about different products."""
    return [desk_memory(number) for number in range(count)]


# ----------------------------------------------------------------------------------------------------------- hypothesis

text = st.text(max_size=12)
maybe = st.none() | text
number = st.floats(allow_nan=False, allow_infinity=False)
texts = st.lists(text, max_size=3).map(tuple)


def _upto(count: int, least: int = -1) -> st.SearchStrategy[int]:
    return st.integers(least, count - 1)


def _call(messages: int, nodes: int, before: int) -> st.SearchStrategy[Call]:
    return st.builds(
        Call,
        primitive=text,
        kind=st.sampled_from(["text", "choice", "object", "embedding", "step"]),
        prompt=st.builds(Prompt, _upto(messages), _upto(nodes), _upto(nodes), _upto(messages)),
        output=maybe,
        side=st.sampled_from(["chatbot", "user"]),
        choices=texts,
        schema=maybe,
        place=maybe,
        parent=st.none() | _upto(before, 0) if before else st.none(),
        supervised=st.booleans(),
        supervisor=maybe,
        score=st.none() | number,
        rejected=texts,
        tags=texts,
        model=maybe,
        params=maybe,
        input_tokens=st.integers(0, 2**40),
        output_tokens=st.integers(0, 2**40),
        cost_usd=st.none() | number,
        milliseconds=number,
        reused=st.booleans(),
        request=maybe,
        error=maybe,
    )


@st.composite
def _any_memory(draw: st.DrawFn) -> Memory:
    """Any record that holds together: its indices lead somewhere, and its history forwards."""
    messages = draw(st.lists(st.tuples(text, text, maybe), max_size=4))
    nodes = draw(st.integers(0, 4)) if messages else 0
    calls = draw(st.integers(0, 4))
    turn = st.builds(
        Turn,
        st.sampled_from(["assistant", "user"]),
        maybe,
        _upto(calls + 1, 0),
        address=maybe,
        data=maybe,
        kwargs=maybe,
    )
    return draw(
        st.builds(
            Memory,
            autogram=text,
            scenario=text,
            fingerprint=text,
            status=st.sampled_from(["completed", "failed", "truncated"]),
            error=maybe,
            error_message=maybe,
            error_place=maybe,
            error_side=maybe,
            seed=st.integers(-(2**63), 2**63 - 1),
            scenario_data=maybe,
            branch=maybe,
            findings=st.lists(text, max_size=2),
            messages=st.just(messages),
            history=st.tuples(*(st.tuples(_upto(node), _upto(len(messages), 0)) for node in range(nodes))).map(list),
            calls=st.tuples(*(_call(len(messages), nodes, call) for call in range(calls))).map(list),
            turns=st.lists(turn, max_size=4),
        )
    )


any_memory = _any_memory()
