"""CPU and wall time of one model call through ``OpenAIModel``, beside bare aiohttp doing the same, in one run.

    python -m benchmarks.client [--calls 4000] [--latency 0.05]

Start-up is left out by difference: each figure comes from the calls beyond a first, smaller round.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson

from autograms.models import Limits, OpenAIModel, Request
from tests.endpoint import Endpoint

Ask = Callable[[int], Awaitable[Any]]
ROUNDS = 3


def messages(number: int) -> list[dict[str, Any]]:
    """Return a prompt of about 900 characters, different for each number."""
    return [
        {"role": "system", "content": "You are the support agent of a shop. " * 8},
        {"role": "user", "content": f"Order {number}: where is my parcel? " * 8},
        {"role": "assistant", "content": "Let me look that up for you. " * 8},
        {"role": "user", "content": "Instruction: reply politely."},
    ]


async def in_flight(count: int, calls: int, ask: Ask) -> tuple[float, float]:
    """Return the CPU milliseconds of a call, and the wall seconds, with ``count`` calls under way."""
    numbers = iter(range(calls))

    async def worker() -> None:
        for number in numbers:
            await ask(number)

    await ask(-1)
    before, start = _cpu(), time.perf_counter()
    await asyncio.gather(*[worker() for _ in range(count)])
    return (_cpu() - before) / calls * 1000, time.perf_counter() - start


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def bare(url: str, count: int, calls: int) -> tuple[float, float]:
    """Measure aiohttp and orjson alone."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(number: int) -> str:
            body = orjson.dumps({"model": "m", "messages": messages(number)})
            async with session.post(f"{url}/chat/completions", data=body) as response:
                text: str = orjson.loads(await response.read())["choices"][0]["message"]["content"]
                return text

        await in_flight(count, count, ask)
        return await in_flight(count, calls, ask)


async def ours(url: str, count: int, calls: int) -> tuple[float, float]:
    """Measure ``OpenAIModel``: limits, retries, usage and cost included."""
    model = OpenAIModel("gpt-4o-mini", base_url=url, limits=Limits(concurrency=count))
    try:

        async def ask(number: int) -> object:
            return await model.complete(Request("text", messages(number)))

        await in_flight(count, count, ask)
        return await in_flight(count, calls, ask)
    finally:
        await model.close()


def main() -> None:
    """Print one row for each number of calls in flight."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client")
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds")
    arguments = parser.parse_args()
    endpoint = Endpoint()
    endpoint.script(latency=arguments.latency)
    print("in flight | bare ms/call | ours ms/call | ratio | bare wall s | ours wall s | ideal s")
    try:
        for count in (64, 256):
            rows = [
                (
                    asyncio.run(bare(endpoint.url, count, arguments.calls)),
                    asyncio.run(ours(endpoint.url, count, arguments.calls)),
                )
                for _ in range(ROUNDS)
            ]
            floor, cost = (statistics.median(row[side][0] for row in rows) for side in (0, 1))
            floor_wall, wall = (statistics.median(row[side][1] for row in rows) for side in (0, 1))
            ideal = arguments.calls * arguments.latency / count
            print(
                f"{count:9} | {floor:12.3f} | {cost:12.3f} | {cost / floor:5.2f} | {floor_wall:11.2f} | {wall:11.2f} "
                f"| {ideal:7.2f}"
            )
    finally:
        endpoint.stop()


if __name__ == "__main__":
    main()
