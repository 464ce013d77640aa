"""Other clients that send a simulation's calls: the floor, bare aiohttp, and peers, each in a process of its own.

    python benchmarks/clients.py CLIENT URL CONVERSATIONS IN_FLIGHT          prints what it took, as JSON

Only the client that is asked for is imported, so that an environment without this project can run it. What does not
belong here: anything of this project, and what is compared (``benchmarks.simulation``).
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

TURNS = 4
MESSAGES: list[dict[str, str]] = [{"role": "system", "content": "You are a helpful assistant of a shop."}]
for _ in range(TURNS // 2):
    MESSAGES += [{"role": "assistant", "content": "x" * 80}, {"role": "user", "content": "y" * 80}]

Call = Callable[[], Awaitable[Any]]


async def floor(url: str, conversations: int, in_flight: int) -> int:
    """Bare aiohttp and orjson."""
    import aiohttp
    import orjson

    body = {"model": "bench", "messages": MESSAGES}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call() -> Any:
            async with session.post(url + "/chat/completions", data=orjson.dumps(body)) as response:
                return orjson.loads(await response.read())

        return await _work_off(call, conversations, in_flight)


async def sdk(url: str, conversations: int, in_flight: int) -> int:
    """The OpenAI SDK, typed answers."""
    import openai

    async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:
        return await _work_off(
            lambda: client.chat.completions.create(model="bench", messages=MESSAGES),  # type: ignore[arg-type]
            conversations,
            in_flight,
        )


async def litellm(url: str, conversations: int, in_flight: int) -> int:
    """LiteLLM's asynchronous completion."""
    import litellm

    return await _work_off(
        lambda: litellm.acompletion(model="openai/bench", messages=MESSAGES, api_base=url, api_key="none"),
        conversations,
        in_flight,
    )


async def dspy(url: str, conversations: int, in_flight: int) -> int:
    """DSPy's language model, without its cache."""
    import dspy

    model = dspy.LM("openai/bench", api_base=url, api_key="none", cache=False)
    return await _work_off(lambda: model.acall(messages=MESSAGES), conversations, in_flight)


async def _work_off(call: Call, conversations: int, in_flight: int) -> int:
    waiting = iter(range(conversations))
    done = 0

    async def work() -> None:
        nonlocal done
        for _ in waiting:
            for _ in range(TURNS):
                await call()
                done += 1

    await asyncio.gather(*(work() for _ in range(in_flight)))
    return done


def report(cpu: float, wall: float, calls: int, failed: int = 0) -> None:
    """Print what was taken since the CPU and wall seconds given."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    taken = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    print(json.dumps({**taken, "calls": calls, "failed": failed, "peak_mb": peak}))


def main(client: str, url: str, conversations: str, in_flight: str) -> None:
    cpu, wall = time.process_time(), time.perf_counter()
    clients = {"floor": floor, "sdk": sdk, "litellm": litellm, "dspy": dspy}
    calls = asyncio.run(clients[client](url, int(conversations), int(in_flight)))
    report(cpu, wall, calls)


if __name__ == "__main__":
    main(*sys.argv[1:])
