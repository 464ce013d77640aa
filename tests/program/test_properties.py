"""Generated programs: live, resumed at every turn, and many at once, they come to the same transcript and calls."""

import asyncio
import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autograms import Memory
from tests.programs import SlowModel, asked, bot, comparable, write

TURNS = [None, "one", None, "three", "four", "five"]
FUNCTIONS = 3


class _Names:
    def __init__(self):
        self.count = 0

    def next(self):
        self.count += 1
        return self.count


@st.composite
def programs(draw):
    """A program's text: loops, branches, functions, scopes, jumps, branches side by side."""
    names = _Names()
    parts = [HEAD]
    for number in reversed(range(FUNCTIONS)):
        scope = draw(st.sampled_from(["global", "normal", "local"]))
        body = draw(bodies(names, number + 1, f"f{number}"))
        parts.append(f"@autograms_function(conv_scope={scope!r})\ndef f{number}(x=0):\n{body}    return x\n")
    body = draw(bodies(names, 0, "chatbot"))
    end = '    x += f0(x)\n    reply(f"end {x} {random.random()}")\n'
    parts.append(f"@autograms_function()\ndef chatbot():\n    x = 0\n{body}{end}")
    return "\n".join(parts)


HEAD = """
from contextlib import contextmanager

ug = init_user_globals()
ug["returned"] = 0

@contextmanager
def door():
    reply("open")
    yield
    silent_thought("shut")

def sup(text):
    thought("inside " + text)
    return SupervisorReturn("good " + silent_thought("nested"), rejected_output="bad")

def look(place: str, deep: bool = False) -> dict:
    return {"place": place, "found": len(place)}

async def fail(number: int) -> str:
    raise KeyError(number)

@autograms_function()
def branch(n):
    return [silent_thought(f"b{n}"), random.randrange(99), thought(f"c{n}", supervisor=sup)]
"""


@st.composite
def bodies(draw, names, callees, owner):
    """A function's body, its addresses known beforehand so that jumps may lead forward."""
    addresses = [f"{owner}_{number}" for number in range(draw(st.integers(0, 3)))]
    waiting = list(addresses)
    lines = draw(blocks(names, callees, addresses, waiting, 1, owner == "chatbot"))
    lines += [f"    location(ADDRESS={address!r})" for address in waiting]
    return "    jumps = 0\n" + "\n".join(lines) + "\n"


@st.composite
def blocks(draw, names, callees, addresses, waiting, depth, root):
    lines = []
    for _ in range(draw(st.integers(2 if depth == 1 else 1, 4))):
        lines += draw(statements(names, callees, addresses, waiting, depth, root))
    return lines


@st.composite
def statements(draw, names, callees, addresses, waiting, depth, root):
    pad, n = "    " * depth, names.next()
    kinds = ["reply", "instruct", "thought", "silent", "supervised", "count", "parallel", "exit", "several"]
    kinds += ["tools", "tools"]
    kinds += ["address", "goto"] * bool(addresses) + ["call", "call"] * (callees < FUNCTIONS) + ["return"] * (not root)
    kinds += ["if", "for", "while", "try", "with", "match"] * (depth < 4)
    kind = draw(st.sampled_from(kinds))
    block = lambda: draw(blocks(names, callees, addresses, waiting, depth + 1, root))  # noqa: E731
    if kind == "address":
        where = f"ADDRESS={waiting.pop(0)!r}" if waiting else ""
        return [pad + draw(st.sampled_from([f"location({where})", f'nodes.reply("at {n}", {where})']))]
    if kind == "goto":
        target = draw(st.sampled_from(addresses))
        return [f"{pad}if jumps < 2:", f"{pad}    jumps += 1", f"{pad}    GOTO({target!r})"]
    if kind == "return":
        return [
            f'{pad}if ug["returned"] < 2 and ROOT:',
            f'{pad}    ug["returned"] += 1',
            f"{pad}    RETURNTO(ROOT[0])",
        ]
    if kind == "call":
        return [f"{pad}x += f{draw(st.integers(callees, FUNCTIONS - 1))}(x)"]
    if kind == "if":
        return [f'{pad}if yes_or_no(f"q{n} {{x}}"):', *block(), f"{pad}else:", *block()]
    if kind == "for":
        return [f"{pad}for i{n} in range(2):", *block(), f"{pad}else:", f"{pad}    x += i{n}"]
    if kind == "while":
        return [f"{pad}w{n} = 0", f"{pad}while w{n} < 2:", f"{pad}    w{n} += 1", *block()]
    if kind == "try":
        return [f"{pad}try:", *block(), f"{pad}finally:", f"{pad}    x += 1"]
    if kind == "with":
        return [f"{pad}with door():", *block()]
    if kind == "match":
        return [
            f"{pad}match random.randrange(2):",
            f"{pad}    case 0:",
            *_deeper(block()),
            f"{pad}    case _:",
            f"{pad}        x += 2",
        ]
    simple = {
        "reply": f'reply(f"r{n} {{x}}")',
        "instruct": f'reply_instruction(f"i{n} {{x}}", max_turns={n % 3})',
        "thought": f'x += len(thought(f"t{n} {{x}}"))',
        "silent": f'x += len(silent_thought("s{n}", max_turns={n % 2 + 1}))',
        "supervised": f'x += len(thought("v{n}", supervisor=sup))',
        "count": f"x += {n}",
        "parallel": f'x += len(str(parallel_wrapper(branch, [{{"n": {n}}}, {{"n": x}}])))',
        "exit": f'EXIT({{"reply": "e{n}", "x": x}})',
        "tools": draw(
            st.sampled_from(
                [
                    f'x += len(thought(f"tt{n} {{x}}", tools=[look, fail], max_tool_rounds=3))',
                    f'x += len(silent_thought("ts{n}", tools=[look], max_turns={n % 3}))',
                    f'reply_instruction("ti{n}", tools=[fail])',
                    f'x += len(thought("tv{n}", tools=[look], supervisor=sup))',
                ]
            )
        ),
        "several": f'[reply(str(k)) for k in range(2)]; append_system_prompt("p{n}")',
    }
    return [pad + simple[kind]]


def _deeper(lines):
    return ["    " + line for line in lines]


def _hash(request):
    return hashlib.blake2b(repr(request.messages).encode(), digest_size=4).hexdigest()


def answer(request):
    found = _hash(request)
    if request.params.get("tools") and int(found, 16) % 3:
        given = {"place": found[:2]} if int(found, 16) % 2 else {"number": 7}
        names = [tool["function"]["name"] for tool in request.params["tools"]]
        return {"tool_calls": [{"name": name, "arguments": given} for name in names]}
    return request.choices[int(found, 16) % 2] if request.choices else found


def take(autogram, memory, text):
    """Take a turn; an error is the reply, as it must come the same way everywhere."""
    try:
        return autogram.reply(text, memory)[0]
    except Exception as error:
        return f"{type(error).__name__}: {error}"


async def take_in_loop(autogram, memory, text):
    try:
        return (await autogram.areply(text, memory))[0]
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def calls_shown(memory):
    """Return the prompts of a memory's model calls, in an order that does not depend on who was answered first."""
    calls = [call for call in memory.calls if not call.supervised and call.kind != "step"]
    shown = [repr(memory.prompt_messages(call.prompt)) for call in calls]
    return sorted(shown)


@pytest.mark.parametrize("examples", [25, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_the_same_live_resumed_and_at_once(examples):
    run = given(programs(), st.booleans())(check)
    settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))(run)()


def check(source, supervisor_mode):
    """Play a program in each way and compare."""
    root_addresses = [
        f"chatbot_{number}" for number in range(3) if f"'chatbot_{number}'" in source.partition("def chatbot")[2]
    ]
    path = write(f"ROOT = {root_addresses[:1]!r}\n{source}")
    options = {"supervisor_mode": supervisor_mode, "config": {"max_calls_per_turn": 60}}
    live, saving = bot(path, answer, **options), bot(path, answer, **options)
    memory = Memory(seed=5)
    spoken = [take(live, memory, text) for text in TURNS]
    expected = comparable(memory)

    resumed = Memory(seed=5)
    again = []
    for text in TURNS:
        again.append(take(saving, resumed, text))
        resumed = saving.deserialize(saving.serialize(resumed))
    assert again == spoken
    assert comparable(resumed) == expected

    if not any(text and "Error: " in text for text in spoken):
        sent = sorted(repr(request.messages) for request in asked(live))
        assert sent == calls_shown(memory)  # what was sent, put together step by step, is what the record shows

    slow = bot(path, SlowModel(answer, lambda request: int(_hash(request), 16) % 3 / 2000), **options)

    async def one():
        kept = Memory(seed=5)
        texts = [await take_in_loop(slow, kept, text) for text in TURNS]
        return texts, comparable(kept)

    async def at_once():
        return await asyncio.gather(*(one() for _ in range(4)))

    for texts, record in asyncio.run(at_once()):
        assert texts == spoken
        assert record == expected
