"""The engine ``ray``: a simulation's shards as tasks of a Ray cluster, one that is there or one on this machine.

Each task is the same simulator over a part of the scenarios, with a part of the journal. Where a worker is lost, its
shard begins again in another one, which finds in the journal what was paid for. What does not belong here: what runs in
a worker (``shards``), and how programs and models get there (``parcel``).
"""

from __future__ import annotations

import functools
import logging
import os
import secrets
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from autograms.conversation.journal import gather_journal, part_journal
from autograms.conversation.record import Memory
from autograms.errors import ProgramError, SettingsError
from autograms.simulation.account import Progress
from autograms.simulation.answers import Answers
from autograms.simulation.budget import Budget
from autograms.simulation.parcel import Parcel, pack
from autograms.simulation.scenarios import Scenario
from autograms.simulation.shards import Clerk, Shard, run_shard
from autograms.simulation.simulator import Simulation, Simulator
from autograms.simulation.talk import Cast

__all__ = ["RayEngine"]

_RETRIES = 3
"""How often a shard begins again whose worker was lost."""
_RAYS = ("RAY_", "PYTHONBREAKPOINT")
"""How the variables begin that Ray reads or sets."""
_LOOK_EVERY = 0.1
_STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class RayEngine:
    """Simulates on a Ray cluster.

    Attributes:
        address: The cluster, as ``ray.init`` takes it (``auto``, ``HOST:6379``); that of ``RAY_ADDRESS`` where unset,
            or else one on this machine, which ends with the simulation.
        workers: Worker processes, each with one shard and one CPU; as many as this machine has CPUs where unset.
    """

    address: str | None = None
    workers: int | None = None

    def run(
        self,
        simulator: Simulator,
        scenarios: Sequence[Scenario],
        cast: Cast,
        answers: Answers,
        journal: Path | None,
        budget: Budget | None,
        on_progress: Callable[[Progress], None] | None,
    ) -> Simulation:
        """Simulate every scenario, as :meth:`Simulator.run` does in this process.

        Raises:
            SettingsError: Where Ray is not installed, the cluster is not there, or a model lives in this process alone.
            ProgramError: Where a shard lost its worker again and again.
            AutogramsError: As :meth:`Simulator.run`.
        """
        count = max(1, min(self.workers or os.cpu_count() or 1, simulator.concurrency, len(scenarios)))
        parcel = pack(simulator, cast, parts=count)
        parts = part_journal(journal.absolute(), count) if journal is not None else [None] * count
        shards = []
        for number, part in enumerate(parts):
            own = scenarios[number::count]
            concurrency = len(range(number, simulator.concurrency, count))
            known = answers.part(scenario.key for scenario in own)
            shards.append(Shard(number, own, known, part, concurrency, budget))
        try:
            with _cluster(self.address or os.environ.get("RAY_ADDRESS"), count) as ray:
                return _Tasks(ray, parcel, shards, on_progress).results()
        finally:
            if journal is not None:
                gather_journal(journal)


class _Tasks:
    """A simulation's shards while they run on a cluster."""

    def __init__(
        self, ray: Any, parcel: Parcel, shards: Sequence[Shard], on_progress: Callable[[Progress], None] | None
    ) -> None:
        self._ray = ray
        self._shards = shards
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._clerk = ray.remote(num_cpus=0)(Clerk).remote(shards[0].budget)
        task = ray.remote(num_cpus=1, max_retries=_RETRIES)(run_shard)
        self._tasks = [task.remote(parcel, shard, self._clerk) for shard in shards]

    def results(self) -> Simulation:
        """Wait for the shards, and put together what they made. Whatever goes wrong here stops all of them."""
        waiting, made = list(self._tasks), {}
        counts = self._clerk.counts.remote()
        try:
            while waiting:
                time.sleep(_LOOK_EVERY)  # here and not in Ray, which garbles what a signal's handler raises
                done, waiting = self._look(waiting)
                made.update({task: self._get(task) for task in done})
                if self._look([counts])[0]:
                    self._tell(self._get(counts))
                    counts = self._clerk.counts.remote()
        except SystemError as error:
            raise error.__cause__ or error from None
        finally:
            self._stop(waiting)
        return self._joined([made[task] for task in self._tasks])

    def _look(self, references: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Return what is done, and what is not."""
        return self._ray.wait(references, num_returns=len(references), timeout=0, fetch_local=False)

    def _get(self, reference: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            cause = getattr(error, "cause", None)
            raise cause if isinstance(cause, Exception) else ProgramError(str(error)) from error
        except errors.RayError as error:
            raise ProgramError(
                f"the cluster lost the process of a shard {_RETRIES + 1} times, or the one that counts "
                f"({type(error).__name__}): did the program end its process, or was there too little memory? What was "
                "paid for is kept; the same simulation goes on from there"
            ) from error

    def _stop(self, waiting: Sequence[Any]) -> None:
        """End the tasks that still run, at once: their journals hold all that is finished."""
        for task in waiting:
            self._ray.cancel(task, force=True)
        if waiting:
            self._ray.wait(waiting, num_returns=len(waiting), timeout=_STOP_SECONDS)
        self._ray.kill(self._clerk)

    def _tell(self, counts: dict[int, Progress]) -> None:
        if self._on_progress is not None:
            known = [counts.get(shard.number) or Progress(len(shard.scenarios)) for shard in self._shards]
            self._on_progress(_sum(known, time.monotonic() - self._started))

    def _joined(self, simulations: Sequence[Simulation]) -> Simulation:
        conversations = [_by_conversation(simulation.memories) for simulation in simulations]
        total = sum(map(len, conversations))
        memories = [
            memory
            for number in range(total)
            for memory in conversations[number % len(simulations)][number // len(simulations)]
        ]
        progress = _sum([simulation.progress for simulation in simulations], time.monotonic() - self._started)
        if self._on_progress is not None:
            self._on_progress(progress)
        return Simulation(memories, progress)


def _sum(counts: Sequence[Progress], seconds: float) -> Progress:
    numbers = [field.name for field in fields(Progress) if not isinstance(field.default, str)]
    total = Progress(**{name: sum(getattr(each, name) for each in counts) for name in numbers})
    total.seconds = seconds
    return total


def _by_conversation(memories: Sequence[Memory]) -> list[list[Memory]]:
    """Return the conversations of a shard, each followed by its branches."""
    found: list[list[Memory]] = []
    for memory in memories:
        if memory.branch is None:
            found.append([])
        found[-1].append(memory)
    return found


# ------------------------------------------------------------------------------------------------------------- cluster


@contextmanager
def _cluster(address: str | None, cpus: int) -> Iterator[Any]:
    """Connect to a cluster, or start one, for the time of the block; a connection that is there already is used.

    Raises:
        SettingsError: Where Ray is not installed, or the cluster is not there.
    """
    try:
        import ray
    except ImportError:
        raise SettingsError(
            'engine = "ray" needs the package ray; install it with: pip install "autograms-assets[ray]"'
        ) from None
    if ray.is_initialized():
        yield ray
        return
    with ExitStack() as stack:
        options: dict[str, Any] = {"address": address}
        if address is None:
            # Paths of sockets are short, and so must the folder's be.
            place = "/tmp" if os.path.isdir("/tmp") else None
            folder = tempfile.TemporaryDirectory(prefix="autograms-ray-", dir=place, ignore_cleanup_errors=True)
            options = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
            options["_temp_dir"] = stack.enter_context(folder)
        stack.enter_context(_variables())
        stack.callback(ray.shutdown)
        try:
            with _own_handler():
                ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise SettingsError(
                f"no Ray cluster at {address or 'this machine'}: {error}; expected ray_address (RAY_ADDRESS) to "
                'name one that runs, as HOST:6379 or "auto", or to be unset'
            ) from error
        except SystemExit:  # so Ray takes a SIGTERM that comes meanwhile
            if callable(signal.getsignal(signal.SIGTERM)):
                signal.raise_signal(signal.SIGTERM)
            raise SystemExit(128 + signal.SIGTERM) from None
        with _ended_by_sigterm():
            yield ray


@contextmanager
def _variables() -> Iterator[None]:
    """Set what Ray reads from the environment, and leave the environment as it was.

    A cluster reports nothing to anybody, and takes orders from this process alone: its ports are open to the network.
    """
    before = {name: value for name, value in os.environ.items() if name.startswith(_RAYS)}
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    if not any(name.startswith("RAY_AUTH_") for name in before):
        os.environ["RAY_AUTH_TOKEN"] = _token()
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith(_RAYS)]:
            del os.environ[name]
        os.environ.update(before)


@functools.cache
def _token() -> str:
    """Return this process's token: Ray reads it once."""
    return secrets.token_hex(32)


@contextmanager
def _own_handler() -> Iterator[None]:
    """Keep the process's own way to be terminated, which ``ray.init`` replaces."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Leave the block where the process is terminated and would end at once, without its cluster."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with _own_handler() if ours else nullcontext():
        if ours:
            signal.signal(signal.SIGTERM, _end)
        yield


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)
