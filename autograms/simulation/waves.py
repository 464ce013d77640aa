"""Waves: conversations that advance together, their calls answered by batches.

A call that may be answered later is parked. When no program can go on, all that is parked goes to the batch API: one
batch for each model and endpoint, or several where the API's limits ask for it. A program is *awake* while it can go on
without an answer of a batch; the count of those is exact, so that no wave waits for a clock. What does not belong here:
how one batch is seen through (``carrier``), and how it is kept on disk (``in_flight``).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograms.errors import ModelError
from autograms.models.batches import MOST_BYTES, MOST_REQUESTS, Answer, Batch, BatchApi, line_of
from autograms.simulation.carrier import Carrier, NotTaken
from autograms.simulation.in_flight import Flight, Flights, cancel_flight

__all__ = ["Place", "Waves"]

_AT_ONCE = 256
"""Programs that go on before the event loop looks at anything else, such as an interrupt."""
_LINE_BYTES = 256
"""More than a line of a batch's file has besides the request."""

_Group = tuple[str, str]
"""An endpoint, and a model there: a batch holds requests to one model."""


@dataclass(slots=True, eq=False)
class _Call:
    """A call that waits.

    Attributes:
        name: Its id in a batch.
        home: Where it is kept while it waits: among the parked ones, or with its batch.
        settled: Whether its program counts as awake again.
    """

    name: str
    api: BatchApi
    model: str
    body: bytes
    future: asyncio.Future[Answer]
    home: dict[str, _Call]
    settled: bool = False

    @property
    def group(self) -> _Group:
        return self.api.endpoint, self.model

    def move(self, home: dict[str, _Call]) -> None:
        self.home.pop(self.name, None)
        self.home = home
        home[self.name] = self


@dataclass(slots=True, eq=False)
class _Carried:
    """A batch that is waited for, and the calls that want its answers."""

    flight: Flight
    former: bool
    calls: dict[str, _Call] = field(default_factory=dict)
    batch: Batch | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where one call waits for its batch.

    Attributes:
        waves: The waves.
        source: Who asks: the conversation, the request, and which time it makes it. The same in every run.
    """

    waves: Waves
    source: str

    async def post(self, endpoint: BatchApi, model: str, body: bytes) -> dict[str, Any]:
        """Return the endpoint's answer; one that may be better the next time is asked for in a later wave again.

        Raises:
            ModelError: Where no answer was had.
        """
        name = hashlib.blake2b(self.source.encode() + b"\n" + body, digest_size=12).hexdigest()
        for _ in range(endpoint.policy.max_tries):
            answer = await self.waves.answer(name, endpoint, model, body)
            if answer.status == 200:
                return answer.data
            if not answer.passes:
                break
        raise endpoint.error(answer)


class Waves:
    """Parks calls, sends them in batches when no program can go on, and hands out the answers.

    Args:
        folder: Where batches under way are kept.
        poll_seconds: Longest wait between two looks at a batch; the first ones are shorter.
        fresh: Give up what an earlier simulation left under way.
    """

    def __init__(self, folder: Path, poll_seconds: float, *, fresh: bool = False) -> None:
        self._flights = Flights(folder)
        self._flights.clean()
        self._carrier = Carrier(self._flights, poll_seconds)
        self._on_change: Callable[[str], None] = lambda text: None
        self._awake = 0
        self._nobody_awake = asyncio.Event()
        self._parked: dict[str, _Call] = {}
        self._carried: list[_Carried] = []
        self._taken: list[Flight] = []
        self._apis: dict[str, BatchApi] = {}
        self._most: dict[_Group, int] = {}
        self._wave = 0
        self._asked: dict[str, int] = {}
        left = self._flights.load()
        self._unwanted = left if fresh else []
        self._left = {} if fresh else {request: flight for flight in left for request in flight.requests}
        self._early: dict[str, Answer] = {}
        self._former: defaultdict[str, list[int]] = defaultdict(list)
        for request in self._left:
            name, _, number = request.rpartition("-")
            self._former[name].append(int(number))

    def place(self, source: str) -> Place:
        """Return where a call waits."""
        return Place(self, source)

    def alongside(self, more: int) -> None:
        """Take note that so many more, or fewer, programs can go on."""
        self._awake += more
        if self._awake == 0:
            self._nobody_awake.set()

    async def answer(self, name: str, api: BatchApi, model: str, body: bytes) -> Answer:
        """Park a call until its batch has ended, and return what came of it.

        Args:
            name: The call; asked again, it is another request.
            api: The batch API of its endpoint.
            model: The model's name there.
            body: JSON.
        """
        request = self._numbered(name)
        if request in self._early:
            return self._early.pop(request)
        self._apis[api.endpoint] = api
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        call = _Call(request, api, model, body, future, self._parked)
        self._parked[request] = call
        self.alongside(-1)
        try:
            return await future
        except asyncio.CancelledError:
            if not call.settled:
                call.home.pop(request, None)
                self._awake += 1
            raise

    def _numbered(self, name: str) -> str:
        """Return the request's id: the call, and the how manyth time it is asked; one that is under way comes first."""
        number = self._asked.get(name, 0)
        number = next((former for former in sorted(self._former.get(name, ())) if former >= number), number)
        self._asked[name] = number + 1
        return f"{name}-{number}"

    async def run(self, on_change: Callable[[str], None]) -> None:
        """Send wave after wave, until every program has ended.

        Args:
            on_change: Told in words what is under way.

        Raises:
            EndpointError: Where an endpoint has no batch API, fails a batch, or cannot be reached for long.
            ModelError: Where it refuses the key or does not have the model.
        """
        self._on_change = on_change
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._nobody_awake.wait()
                    self._nobody_awake.clear()
                    if self._awake:
                        continue
                    self._forget_taken()
                    self._send(group)
                    if not self._parked and not self._carried:
                        break
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def give_up(self) -> None:
        """Cancel what earlier simulations left under way, and nobody asked for."""
        for flight in self._flights.load():
            await self._give_up(flight)

    # ------------------------------------------------------------------------------------------------------- sending

    def _send(self, group: asyncio.TaskGroup) -> None:
        """Let everything that is parked be carried: by a batch that is under way already, or by a new one."""
        for flight in [flight for flight in self._unwanted if flight.endpoint in self._apis]:
            self._unwanted.remove(flight)
            group.create_task(self._give_up(flight))
        new = [*self._reattached(), *self._batched()]
        self._carried += new
        self._wave += bool(new)
        for carried in new:
            group.create_task(self._carry(carried))
        self._tell()

    def _reattached(self) -> list[_Carried]:
        """Hand parked calls to the batches that carry them since an earlier simulation."""
        carried = {each.flight.mark: each for each in self._carried}
        new = []
        for call in [call for call in self._parked.values() if call.name in self._left]:
            flight = self._left[call.name]
            if flight.mark not in carried:
                carried[flight.mark] = _Carried(flight, former=True)
                new.append(carried[flight.mark])
            call.move(carried[flight.mark].calls)
        return new

    def _batched(self) -> list[_Carried]:
        """Make batches of parked calls, by endpoint and model."""
        groups: defaultdict[_Group, list[_Call]] = defaultdict(list)
        for call in self._parked.values():
            groups[call.group].append(call)
        busy = {each.flight.group for each in self._carried}
        new = []
        for group, calls in groups.items():
            parts = list(_parts(calls, self._most.get(group, MOST_REQUESTS)))
            if group in self._most:  # the account's queue is short: one batch at a time
                parts = [] if group in busy else parts[:1]
            for part in parts:
                flight = Flight(os.urandom(8).hex(), *group, [call.name for call in part])
                carried = _Carried(flight, former=False)
                for call in part:
                    call.move(carried.calls)
                new.append(carried)
        return new

    # ------------------------------------------------------------------------------------------------------ carrying

    async def _carry(self, carried: _Carried) -> None:
        """See a batch through to its end."""
        flight, api = carried.flight, self._apis[carried.flight.endpoint]

        def seen(batch: Batch) -> None:
            carried.batch = batch
            self._tell()

        try:
            if carried.former:
                await self._carrier.find(flight, api)
            else:
                lines = (line_of(call.name, call.body) for call in carried.calls.values())
                await self._carrier.make(flight, api, lines)
            batch = await self._carrier.wait(flight, api, seen, former=carried.former)
        except NotTaken as error:
            self._send_anew(carried, error)
        else:
            await self._hand_out(carried, await self._carrier.answers(flight, api, batch), batch)

    def _send_anew(self, carried: _Carried, error: NotTaken) -> None:
        """Park the calls of a batch that came to nothing; one that was too large goes in halves, one by one.

        Raises:
            NotTaken: Where there is nothing to halve.
        """
        self._drop(carried)
        flight = carried.flight
        self._flights.forget(flight)
        if error.too_large:
            others = any(each.flight.group == flight.group for each in self._carried)
            if len(flight.requests) == 1 and not others:
                raise error
            self._most[flight.group] = max(1, len(flight.requests) // (1 if others else 2))
        for call in list(carried.calls.values()):
            call.move(self._parked)
        self.alongside(0)

    async def _hand_out(self, carried: _Carried, answers: dict[str, Answer], batch: Batch) -> None:
        """Wake the programs whose calls a batch carried."""
        self._drop(carried)
        calls, carried.calls = list(carried.calls.values()), {}
        wanted = {call.name for call in calls}
        self._early.update((name, answer) for name, answer in answers.items() if name not in wanted)
        for call in calls:
            call.settled = True
        # All at once: nobody sends the next wave before the last of this one has its answer.
        self._awake += len(calls)
        if wanted.issuperset(answers):
            self._taken.append(carried.flight)
        nothing = Answer(0, {"error": f"the batch {carried.flight.batch} is {batch.status}, and has no answer to it"})
        for number, call in enumerate(calls, start=1):
            if not call.future.done():
                call.future.set_result(answers.get(call.name, nothing))
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        self.alongside(0)

    def _drop(self, carried: _Carried) -> None:
        self._carried.remove(carried)
        for request in carried.flight.requests:
            self._left.pop(request, None)
        self._tell()

    def _forget_taken(self) -> None:
        """Remove the state of batches whose answers are in the journal: no program is awake that could still write."""
        for flight in self._taken:
            self._flights.forget(flight)
        self._taken = []

    async def _give_up(self, flight: Flight) -> None:
        """Cancel a batch whose answers nobody wants, where its endpoint is known and reached, and forget it."""
        api = self._apis.get(flight.endpoint)
        if api is not None:
            with contextlib.suppress(ModelError):
                await cancel_flight(flight, api)
            self._flights.forget(flight)

    def _tell(self) -> None:
        if not self._carried:
            self._on_change("")
            return
        calls = sum(len(each.flight.requests) for each in self._carried)
        done = sum(each.batch.done for each in self._carried if each.batch is not None)
        first = self._carried[0].batch
        status = "uploading" if first is None else first.status.replace("_", " ")
        self._on_change(f"wave {self._wave}: {calls} calls, {status} {done}/{calls}")


def _parts(calls: Iterable[_Call], most: int) -> Iterator[list[_Call]]:
    """Yield the calls of one batch after the other, as the API's limits allow."""
    part: list[_Call] = []
    size = 0
    for call in calls:
        more = len(call.body) + _LINE_BYTES
        if part and (len(part) >= most or size + more > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(call)
        size += more
    if part:
        yield part
