"""The client's cost of a simulated call against bare aiohttp, in one run, with an endpoint of its own.

    python -m benchmarks.simulation [--conversations 768] [--latency 0.05] [--concurrency 64 256] [--repeat 3]
    python -m benchmarks.simulation --peers sdk litellm dspy --python PYTHON   peers from an environment of their own
    python -m benchmarks.simulation --tail          latencies of 50 ms at the median and 2 s at the longest
    python -m benchmarks.simulation --scale         2,500 to 10,000 conversations in one process, 256 in flight

Each figure is the difference of two sizes (a quarter and the whole), so that neither start-up counts nor the end, where
fewer and fewer are in flight. CPU is this client's process alone; the endpoint is a process of its own. Everything
counts: the runtime, prompts, the journal and the Parquet file. The floor and the peers (``benchmarks/clients.py``) send
bodies of the same size, read the answers, and do nothing else. The ideal wall time is calls x latency / in flight, with
the latency that the endpoint itself saw between a request and its answer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.clients import TURNS, report

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


def measure(
    client: str, endpoint: Endpoint, conversations: int, concurrency: int, python: str = ""
) -> dict[str, float]:
    """Return what one process of a client took, and what the endpoint's answers to it took, added up (``waited``)."""
    module = ["-m", "benchmarks.simulation", "--one"] if client == "ours" else ["benchmarks/clients.py", client]
    command = [python or sys.executable, *module, endpoint.url, str(conversations), str(concurrency)]
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


def compare(endpoint: Endpoint, options: argparse.Namespace, concurrency: int) -> None:
    """Measure all clients in turn, and print the medians; the ratio is the median of the ratios of each turn."""
    rows: dict[str, list[dict[str, float]]] = {client: [] for client in ("floor", "ours", *options.peers)}
    for _ in range(options.repeat):
        for client, found in rows.items():
            python = options.python if client in options.peers else ""
            small = measure(client, endpoint, options.conversations // 4, concurrency, python)
            large = measure(client, endpoint, options.conversations, concurrency, python)
            assert not large["failed"], "calls failed; nothing was measured"
            more = {key: large[key] - small[key] for key in ("cpu", "wall", "calls", "waited")}
            wall, ideal = more["wall"], more["waited"] / concurrency
            ms = more["cpu"] / more["calls"] * 1000
            found.append({"ms": ms, "wall": wall, "ideal": ideal, "over": wall / ideal, "peak": large["peak_mb"]})
    for client, found in rows.items():
        middle = {key: statistics.median(row[key] for row in found) for key in found[0]}
        ratio = statistics.median(row["ms"] / least["ms"] for row, least in zip(found, rows["floor"], strict=True))
        print(
            f"| {concurrency:4d} | {client:7s} | {middle['ms']:6.3f} | {ratio:5.2f} | {middle['wall']:7.2f} | "
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
    parser.add_argument("--peers", nargs="*", default=["sdk"], help="clients of benchmarks/clients.py beside the floor")
    parser.add_argument("--python", default="", help="the interpreter of an environment that has the peers")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        url, conversations, concurrency = options.one
        ours(url, int(conversations), int(concurrency))
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
            compare(endpoint, options, concurrency)
    finally:
        endpoint.stop()


if __name__ == "__main__":
    main()
