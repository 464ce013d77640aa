from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from autograms.finetuning.stopping import StopRequest, terminations_interrupt


def test_nobody_asked() -> None:
    assert not StopRequest().made


def test_a_parent_that_is_gone_is_a_request() -> None:
    request = StopRequest(parent=os.getppid() + 1)
    assert request.made
    assert request.signal == signal.SIGTERM


def test_a_signal_is_a_request_and_a_second_one_ends_the_process() -> None:
    program = (
        "import os, signal\nfrom autograms.finetuning.stopping import StopRequest\n"
        "r = StopRequest(); r.listen()\nsignal.raise_signal(signal.SIGTERM)\nprint(r.made, r.signal, flush=True)\n"
        "signal.raise_signal(signal.SIGTERM)\nprint('still here')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "True 15\n"
    assert done.returncode == -signal.SIGTERM


@pytest.mark.parametrize("pipes", [True, False])
def test_under_dagster_the_terminals_signal_reaches_dagster_alone(pipes: bool) -> None:
    program = (
        "import os\nfrom autograms.finetuning.stopping import StopRequest\nStopRequest().listen()\n"
        "print(os.getpgid(0) == os.getpid())"
    )
    environment = {**os.environ, **({"DAGSTER_PIPES_CONTEXT": "x"} if pipes else {})}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == f"{pipes}\n"


def test_sigterm_interrupts_within_and_only_within() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), terminations_interrupt():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


REPEATED = """
import signal, time
from autograms.finetuning.stopping import terminations_interrupt

now = [0.0]
time.monotonic = lambda: now[0]
with terminations_interrupt():
    for wait in (10.0, 0.5, 2.0):
        now[0] += wait
        try:
            signal.raise_signal(signal.SIGTERM)
            print("taken for the same")
        except KeyboardInterrupt:
            print("interrupted")
"""


def test_a_second_sigterm_at_once_says_no_more_than_the_first() -> None:
    done = subprocess.run([sys.executable, "-c", REPEATED], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["interrupted", "taken for the same", "interrupted"]


def test_other_threads_leave_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def look() -> None:
        with terminations_interrupt():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]
