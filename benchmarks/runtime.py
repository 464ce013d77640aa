"""The runtime's cost: resuming, saved size, one effect, live programs. Prints each figure beside its target.

python -m benchmarks.runtime
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from autograms import Autogram, AutogramConfig, load_autogram
from autograms.models import Reply, Request

PROGRAM = """
from autograms import autograms_function
from autograms.functional import *

@autograms_function()
def chatbot():
    while True:
        if yes_or_no("Is the user content?"):
            reply_instruction("Thank the user and go on.")
        else:
            reply_instruction("Apologise to the user.")
"""


class Instant:
    """A model that costs next to nothing."""

    name = "instant/model"
    yes = Reply("Yes", name)
    text = Reply("a reply of some forty characters, no more", name)

    async def complete(self, request: Request) -> Reply:
        return self.yes if request.kind == "choice" else self.text

    async def embed(self, texts, *, model=None):
        raise NotImplementedError

    async def close(self) -> None:
        pass


def bot() -> Autogram:
    path = Path(tempfile.mkdtemp()) / "bench_bot.py"
    path.write_text(PROGRAM)
    return Autogram(load_autogram(path)[0], AutogramConfig(), Instant())


def played(autogram: Autogram, turns: int):
    """Return a memory of so many turns, played without a thread hop, as the simulator does."""
    import asyncio

    async def play():
        _, memory = await autogram.areply(None)
        for number in range(turns - 1):
            _, memory = await autogram.areply(f"the user's answer number {number}, of some length", memory)
        return memory

    return asyncio.run(play())


def resuming() -> None:
    autogram = bot()
    sizes, times = {}, {}
    for turns in (50, 400):
        memory = played(autogram, turns)
        text = autogram.serialize(memory)
        sizes[turns] = len(text) / turns
        runs = []
        for _ in range(15):
            start = time.process_time()
            fresh = autogram.deserialize(text)
            autogram.attach(fresh)
            runs.append(time.process_time() - start)
        times[turns] = statistics.median(runs) * 1000
        assert fresh.calls == memory.calls
        assert fresh.turns == memory.turns
    show("resume 400 turns, 2 calls each", f"{times[400]:.2f} ms", "5 ms")
    show("saved bytes a turn at 400 / 50", f"{sizes[400] / sizes[50]:.3f}", f"1.100 ({sizes[400]:.0f} bytes a turn)")


def show(what: str, reached: str, target: str) -> None:
    print(f"{what:32s} {reached:>12s}        target <= {target}")


def effects() -> None:
    """The cost of an effect: a conversation's CPU by its effects, less the model's own cost."""
    import asyncio

    autogram = bot()

    async def once(turns: int) -> float:
        _, memory = await autogram.areply(None)
        start = time.process_time()
        for number in range(turns):
            _, memory = await autogram.areply(f"answer {number}", memory)
        return (time.process_time() - start) / turns

    async def model_alone(calls: int) -> float:
        request = Request("text", [])
        start = time.process_time()
        for _ in range(calls):
            await autogram.model.complete(request)
        return (time.process_time() - start) / calls

    turns = 30
    per_call = statistics.median(asyncio.run(model_alone(1000)) for _ in range(5))
    per_turn = statistics.median(asyncio.run(once(turns)) for _ in range(25)) - 2 * per_call
    show("CPU an effect beyond the model", f"{per_turn / 3 * 1e6:.2f} us", f"10 us (3 effects a turn, {turns} turns)")


def live() -> None:
    code = (
        "import asyncio, resource, sys; from benchmarks.runtime import bot\n"
        "count=int(sys.argv[1]); b=bot()\n"
        "async def go():\n"
        "    kept=[]\n"
        "    for i in range(count):\n"
        "        t,m=await b.areply(None)\n"
        "        for j in range(9): t,m=await b.areply(f'answer {j} of user {i}', m)\n"
        "        kept.append(m)\n"
        "    return kept\n"
        "kept=asyncio.run(go())\n"
        "print(int(open('/proc/self/statm').read().split()[1])*4096)\n"
    )
    sizes = [
        int(subprocess.run([sys.executable, "-c", code, str(n)], capture_output=True, text=True, check=True).stdout)
        for n in (10, 10_000)
    ]
    each = (sizes[1] - sizes[0]) / 9990 / 1e3
    show("10,000 live programs", f"{sizes[1] / 1e6:.0f} MB", f"400 MB ({each:.1f} KB each)")


if __name__ == "__main__":
    gc.collect()
    resuming()
    effects()
    live()
