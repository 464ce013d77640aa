"""The client's cost of a simulated call against bare aiohttp, in one run, with an endpoint of its own.

    python -m benchmarks.simulation [--conversations 768] [--latency 0.05] [--concurrency 64 256] [--repeat 3]
    python -m benchmarks.simulation --tail          latencies of 50 ms at the median and 2 s at the longest
    python -m benchmarks.simulation --scale         2,500 to 10,000 conversations in one process, 256 in flight

Each figure is the difference of two sizes (a quarter and the whole), so that neither start-up counts nor the end, where
fewer and fewer are in flight. CPU is this client's process alone; the endpoint is a process of its own. Everything
counts: the runtime, prompts, the journal and the Parquet file. The floor sends bodies of the same size through aiohttp
and reads the answers, and does nothing else. The ideal wall time is calls x latency / in flight, with the latency that
the endpoint itself saw between a request and its answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.endpoint import Endpoint

CHATBOT = """
from autograms import autograms_function
from autograms.functional import reply_instruction, set_system_prompt

@autograms_function()
def chatbot():
    set_system_prompt("You are a helpful assistant of a shop. Answer in one or two sentences.")
    while True:
        reply_instruction("Reply to the customer.")
"""
USERBOT = """
from autograms import autograms_function
from autograms.functional import reply

@autograms_function()
def chatbot():
    number = 0
    while True:
        number += 1
        reply(f"And what about my other order, the one of last week, number {number}?")
"""
TURNS = 4
TAIL = {"median": 0.05, "sigma": 1.0, "longest": 2.0}
SIZES = (2500, 5000, 10000)


def ours(url: str, conversations: int, concurrency: int) -> None:
    """Simulate, with journal and Parquet."""
    from autograms import Autogram
    from autograms.conversation.parquet import write_memories
    from autograms.models import OpenAIModel
    from autograms.models.limits import Limits
    from autograms.simulation import Simulator, plain_scenarios

    folder = Path(tempfile.mkdtemp())
    (folder / "bot.py").write_text(CHATBOT)
    (folder / "user.py").write_text(USERBOT)
    model = OpenAIModel("bench", base_url=url, api_key="none", limits=Limits(concurrency=concurrency))
    simulator = Simulator(
        Autogram.from_file(folder / "bot.py", model=model, supervisor_mode=True),
        Autogram.from_file(folder / "user.py", model=model),
        concurrency=concurrency,
    )
    scenarios = plain_scenarios(conversations, num_turns=TURNS - 1, seed=0)
    cpu, wall = time.process_time(), time.perf_counter()
    simulation = simulator.run(scenarios, journal=folder / "journal.jsonl")
    write_memories(folder / "memories.parquet", simulation.memories)
    report(cpu, wall, simulation.progress.paid, simulation.progress.failed)


def floor(url: str, conversations: int, concurrency: int) -> None:
    """Send the same calls through bare aiohttp."""
    import aiohttp
    import orjson

    body = {"model": "bench", "messages": [{"role": "system", "content": "You are a helpful assistant of a shop."}]}
    for _ in range(TURNS // 2):
        body["messages"] += [{"role": "assistant", "content": "x" * 80}, {"role": "user", "content": "y" * 80}]

    async def go() -> int:
        waiting = iter(range(conversations))
        done = 0

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def work() -> None:
                nonlocal done
                for _ in waiting:
                    for _ in range(TURNS):
                        async with session.post(url + "/chat/completions", data=orjson.dumps(body)) as response:
                            orjson.loads(await response.read())
                        done += 1

            await asyncio.gather(*(work() for _ in range(concurrency)))
        return done

    cpu, wall = time.process_time(), time.perf_counter()
    calls = asyncio.run(go())
    report(cpu, wall, calls, 0)


def report(cpu: float, wall: float, calls: int, failed: int) -> None:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "calls": calls, "peak_mb": peak}
    print(json.dumps({**figures, "failed": failed}))


def measure(kind: str, endpoint: Endpoint, conversations: int, concurrency: int) -> dict[str, float]:
    """Return what one process of a client took, and what the endpoint's answers to it took, added up (``waited``)."""
    command = [sys.executable, "-m", "benchmarks.simulation", "--one", kind, "--url", endpoint.url]
    command += ["--conversations", str(conversations), "--concurrency", str(concurrency)]
    before = endpoint.stats()["seconds"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1]) | {"waited": endpoint.stats()["seconds"] - before}


def scale(endpoint: Endpoint) -> None:
    """Show what sizes cost in one process each."""
    print("| conversations | CPU ms a call | wall s | MB | KB a conversation |")
    print("|---|---|---|---|---|")
    start = measure("ours", endpoint, 1, 1)["peak_mb"]
    for size in SIZES:
        found = measure("ours", endpoint, size, 256)
        ms, each = found["cpu"] / found["calls"] * 1000, (found["peak_mb"] - start) / size * 1024
        print(f"| {size:6d} | {ms:6.3f} | {found['wall']:6.1f} | {found['peak_mb']:5.0f} | {each:5.1f} |", flush=True)


def compare(endpoint: Endpoint, conversations: int, concurrency: int, repeat: int) -> None:
    """Measure both clients in turn, and print the medians; the ratio is the median of the ratios of each turn."""
    rows: dict[str, list[dict[str, float]]] = {"floor": [], "ours": []}
    for _ in range(repeat):
        for kind, found in rows.items():
            small = measure(kind, endpoint, conversations // 4, concurrency)
            large = measure(kind, endpoint, conversations, concurrency)
            assert not large["failed"], "calls failed; nothing was measured"
            more = {key: large[key] - small[key] for key in ("cpu", "wall", "calls", "waited")}
            wall, ideal = more["wall"], more["waited"] / concurrency
            ms = more["cpu"] / more["calls"] * 1000
            found.append({"ms": ms, "wall": wall, "ideal": ideal, "over": wall / ideal, "peak": large["peak_mb"]})
    for kind, found in rows.items():
        middle = {key: statistics.median(row[key] for row in found) for key in found[0]}
        ratio = statistics.median(row["ms"] / least["ms"] for row, least in zip(found, rows["floor"], strict=True))
        print(
            f"| {concurrency:4d} | {kind:5s} | {middle['ms']:6.3f} | {ratio:5.2f} | {middle['wall']:7.2f} | "
            f"{middle['ideal']:6.2f} | {middle['over']:5.2f} | {middle['peak']:6.0f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=768)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--tail", action="store_true", help="a long tail of latencies")
    parser.add_argument("--scale", action="store_true", help="memory and CPU at 2,500 to 10,000 conversations")
    parser.add_argument("--one", choices=("ours", "floor"), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        globals()[options.one](options.url, options.conversations, options.concurrency[0])
        return
    from tests.endpoint import Endpoint

    endpoint = Endpoint()
    try:
        if options.scale:
            scale(endpoint)
            return
        endpoint.script(latency=TAIL if options.tail else options.latency)
        print("| in flight | client | CPU ms a call | to the floor | wall s | ideal s | to the ideal | MB |")
        print("|---|---|---|---|---|---|---|---|")
        for concurrency in options.concurrency:
            compare(endpoint, options.conversations, concurrency, options.repeat)
    finally:
        endpoint.stop()


if __name__ == "__main__":
    main()
