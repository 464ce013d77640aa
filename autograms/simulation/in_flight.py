"""Batches under way, as they stand on disk: what a simulation that was cut off leaves for the next one.

One file a batch, in a folder beside the journal, written before the batch is paid and removed when its answers are in
the journal. What does not belong here: what a batch's requests and answers are (``waves``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import orjson

from autograms.conversation.atomic import replacing
from autograms.errors import RecordError
from autograms.models.batches import BatchApi

__all__ = ["Flight", "Flights", "batches_of", "cancel_batches", "cancel_flight", "left_in_flight"]


@dataclass(slots=True)
class Flight:
    """A batch under way.

    Attributes:
        mark: Its name here, and at the endpoint before its id is known.
        endpoint: The endpoint's URL.
        model: The model's name there.
        requests: Ids of its requests.
        batch: Its id; ``None`` where the simulation was cut off before it was known.
    """

    mark: str
    endpoint: str
    model: str
    requests: list[str]
    batch: str | None = None

    @property
    def group(self) -> tuple[str, str]:
        """The endpoint and the model: a batch holds requests to one model."""
        return self.endpoint, self.model

    def __str__(self) -> str:
        calls = "1 call" if len(self.requests) == 1 else f"{len(self.requests)} calls"
        return f"{self.batch or 'not yet made'}: {calls} of {self.model} at {self.endpoint}"


class Flights:
    """The folder of a simulation's batches under way.

    Args:
        folder: The folder; made when the first batch is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self) -> list[Flight]:
        """Return the batches that earlier simulations left, by name.

        Raises:
            RecordError: Where a file is damaged.
        """
        return [_read(path) for path in sorted(self.folder.glob("*.json"))]

    def clean(self) -> None:
        """Remove files of requests that a simulation left which was killed while it wrote or uploaded them."""
        for path in (*self.folder.glob("*.jsonl"), *self.folder.glob(".*.tmp")):
            path.unlink()

    def keep(self, flight: Flight) -> None:
        """Write what is known of a batch."""
        with replacing(self.path(flight)) as file:
            file.write(orjson.dumps(asdict(flight)))

    def forget(self, flight: Flight) -> None:
        """Remove a batch's file, and the folder with the last one."""
        self.path(flight).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def path(self, flight: Flight, suffix: str = ".json") -> Path:
        """Return a batch's file."""
        return self.folder / f"{flight.mark}{suffix}"


def batches_of(journal: Path) -> Path:
    """Return the folder of the batches that belong to a journal."""
    return journal.with_suffix(".batches")


def left_in_flight(journal: Path) -> str | None:
    """Say what a simulation that was cut off left under way, and how to take it; ``None`` where there is nothing."""
    flights = Flights(batches_of(journal)).load()
    if not flights:
        return None
    calls = sum(len(flight.requests) for flight in flights)
    count = "1 batch goes on" if len(flights) == 1 else f"{len(flights)} batches go on"
    return f"{count} at the endpoint, with {calls} calls; simulate again to take the answers"


async def cancel_batches(journal: Path, apis: Iterable[BatchApi]) -> list[Flight]:
    """Cancel the batches that a simulation left under way.

    What they have answered by then is paid, and stays for the next simulation, which sends the rest again.

    Args:
        journal: The simulation's journal.
        apis: The batch APIs of its endpoints; batches of others are left alone.

    Returns:
        The batches that are cancelled now.

    Raises:
        RecordError: Where a file is damaged.
        ModelError: Where an endpoint refuses.
    """
    flights = Flights(batches_of(journal))
    by_endpoint = {api.endpoint: api for api in apis}
    cancelled = []
    for flight in flights.load():
        api = by_endpoint.get(flight.endpoint)
        if api is None:
            continue
        if await cancel_flight(flight, api):
            cancelled.append(flight)
        else:
            flights.forget(flight)
    return cancelled


async def cancel_flight(flight: Flight, api: BatchApi) -> bool:
    """Cancel a batch unless it has ended; return whether there is one at all.

    Raises:
        ModelError: Where the endpoint refuses.
    """
    batch = await (api.find(flight.mark) if flight.batch is None else api.look(flight.batch))
    if batch is not None and not batch.ended:
        await api.cancel(batch.id)
    return batch is not None


def _read(path: Path) -> Flight:
    try:
        data = orjson.loads(path.read_bytes())
        return Flight(**{field.name: data[field.name] for field in fields(Flight)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(
            f"the state of a batch, {path}, cannot be read ({error!r}); look for the batch at the endpoint, cancel it "
            "there, and remove the file"
        ) from None
