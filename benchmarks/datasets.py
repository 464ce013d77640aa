"""How fast conversations are stored, read and built into rows, on one core, and how much memory that takes.

    python benchmarks/datasets.py --conversations 125000        # 1,000,000 rows

Prints CPU seconds and rows a second for each step, and the peak of the process's memory so far, so that the steps that
stream come first. Conversations are made as they are read; the time to make them is measured by itself and subtracted.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pyarrow as pa
import pyarrow.parquet as pq

from autograms.conversation.parquet import stream_memories, write_memories
from autograms.conversation.record import NONE, Call, Memory, Prompt, Turn
from autograms.datasets import build_sft, stream_dpo, stream_for_rows, stream_sft
from autograms.settings import DatasetSettings

CALLS_A_TURN = ("yes_or_no", "reply_instruction")


def conversation(number: int, turns: int) -> Memory:
    """A conversation of ``turns`` user turns with two calls each, the second with a rejected answer."""
    memory = Memory("desk", f"scenario-{number}", "f" * 16, seed=number)
    memory.messages = [
        ("system", "You work for a shop and answer its customers in a formal tone.", None),
        ("instruction", "Does the customer ask about an order? Answer with one of: Yes, No", None),
        ("instruction", "Answer the customer formally.", None),
    ]
    last = NONE
    for turn in range(turns):
        said = f"Hello, this is customer {number}, and in turn {turn} I ask where order {number * 7 + turn} is."
        answer = f"Dear customer {number}, order {number * 7 + turn} left our house and arrives in {turn + 2} days."
        last = _append(memory, last, "user", said)
        for index, primitive in enumerate(CALLS_A_TURN):
            choice = index == 0
            memory.calls.append(
                Call(
                    primitive,
                    "choice" if choice else "text",
                    Prompt(0, last if choice else 0, last, 1 + index),
                    "Yes" if choice else answer,
                    choices=("Yes", "No") if choice else (),
                    place=f"chatbot:{10 + index}",
                    supervised=True,
                    supervisor="formal_answer",
                    score=1.0,
                    rejected=() if choice else (f"yo, {number * 7 + turn} is on its way",),
                    tags=("formal",),
                    milliseconds=1.5,
                    request=f"{number:016x}{turn:015x}{index}",
                )
            )
        last = _append(memory, last, "assistant", answer)
    return memory


def _append(memory: Memory, parent: int, role: str, content: str) -> int:
    memory.messages.append((role, content, None))
    memory.history.append((parent, len(memory.messages) - 1))
    memory.turns.append(Turn(role, content, len(memory.calls)))
    return len(memory.history) - 1


def conversations(count: int, turns: int) -> Iterator[Memory]:
    """That many conversations, made as they are read."""
    return (conversation(number, turns) for number in range(count))


def measure(action: Callable[[], object]) -> tuple[float, object]:
    """Return the CPU seconds that an action takes, and what it returns."""
    start = time.process_time()
    result = action()
    return time.process_time() - start, result


def rows_to_file(path: Path, memories: Iterable[Memory], settings: DatasetSettings) -> int:
    """Build SFT rows and write them as they come; return how many there are."""
    rows = stream_sft(memories, settings)
    with pq.ParquetWriter(path, rows.schema, compression="zstd") as writer:
        for batch in rows.batches:
            writer.write_batch(batch)
    return rows.report.rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--near", type=int, default=2_000, help="Conversations for the search of near-duplicates.")
    options = parser.parse_args()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    count, turns = options.conversations, options.turns
    calls = count * turns * len(CALLS_A_TURN)
    settings = DatasetSettings()
    making, _ = measure(lambda: deque(conversations(count, turns), maxlen=0))
    print(f"{count} conversations, {turns} turns, {calls} calls; CPU of one core\n")
    print(f"{'step':<34}{'seconds':>9}{'rows':>10}{'rows/s':>10}{'peak MB':>9}")
    line("make (subtracted below)", making, calls)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memories.parquet"
        seconds, _ = measure(lambda: write_memories(path, conversations(count, turns)))
        line("write_memories (calls)", seconds - making, calls)
        reading, _ = measure(lambda: deque(stream_memories(path), maxlen=0))
        line("stream_memories (calls)", reading, calls)
        seconds, built = measure(lambda: sum(map(len, stream_sft(conversations(count, turns), settings).batches)))
        line("stream_sft", seconds - making, built)
        seconds, built = measure(lambda: sum(map(len, stream_sft(stream_for_rows(path), settings).batches)))
        line("Parquet to SFT rows", seconds, built)
        target = Path(folder) / "sft.parquet"
        seconds, built = measure(lambda: rows_to_file(target, stream_for_rows(path), settings))
        line("Parquet to SFT rows in Parquet", seconds, built)
        seconds, built = measure(lambda: sum(map(len, stream_dpo(stream_for_rows(path), settings).batches)))
        line("Parquet to DPO rows", seconds, built)
        print(f"conversations: {path.stat().st_size / calls:.0f} bytes a call; ", end="")
        print(f"SFT rows: {target.stat().st_size / calls:.0f} bytes a row")
    seconds, built = measure(lambda: build_sft(conversations(count, turns), settings).report.rows)
    line("build_sft (whole table)", seconds - making, built)
    near = settings.model_copy(update={"near_duplicates": 0.8})
    seconds, _ = measure(lambda: build_sft(conversations(options.near, turns), near))
    line("build_sft, near_duplicates", seconds, options.near * turns * len(CALLS_A_TURN))


def line(step: str, seconds: float, rows: object) -> None:
    """Print one line of the table."""
    assert isinstance(rows, int)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{step:<34}{seconds:>9.2f}{rows:>10}{rows / max(seconds, 1e-9):>10.0f}{peak:>9.0f}", flush=True)


if __name__ == "__main__":
    main()
