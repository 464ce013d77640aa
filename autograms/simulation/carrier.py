"""One batch, seen through from its calls to their answers, or from where an earlier simulation left it.

What does not belong here: which calls make a batch, and who gets the answers (``waves``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from autograms.conversation.atomic import replacing
from autograms.errors import EndpointError, ModelNameError
from autograms.models.batches import Answer, Batch, BatchApi
from autograms.models.retries import passes
from autograms.simulation.in_flight import Flight, Flights

__all__ = ["Carrier", "NotTaken"]

_FIRST_WAIT = 1.0
_LONGER = 1.5
_FAILED_LOOKS = 10
_QUEUE_IS_FULL = "token_limit_exceeded"
_TOLD_PROBLEMS = 3


class NotTaken(EndpointError):
    """A batch that came to nothing, whose calls another one may carry.

    Attributes:
        too_large: Whether the account's queue has no room for it.
    """

    too_large = False


class Carrier:
    """Makes batches, looks at them until they have ended, and fetches their answers.

    Args:
        flights: Where batches under way are kept.
        poll_seconds: Longest wait between two looks at a batch; the first ones are shorter.
    """

    def __init__(self, flights: Flights, poll_seconds: float) -> None:
        self._flights = flights
        self._poll_seconds = poll_seconds

    async def make(self, flight: Flight, api: BatchApi, lines: Iterable[bytes]) -> None:
        """Upload the calls and make the batch; what is known of it is kept before it is made, and when it is.

        Args:
            flight: The batch to be.
            api: The batch API of its endpoint.
            lines: Its requests.

        Raises:
            ModelError: Where the endpoint has no batch API, or fails.
        """
        file = self._flights.path(flight, ".jsonl")
        with replacing(file) as requests:
            requests.writelines(lines)
        try:
            uploaded = await api.upload(file)
        finally:
            file.unlink()
        self._flights.keep(flight)
        flight.batch = (await api.create(uploaded, flight.mark)).id
        self._flights.keep(flight)

    async def find(self, flight: Flight, api: BatchApi) -> None:
        """Look for a batch whose id an earlier simulation did not live to know.

        Raises:
            NotTaken: Where it was never made.
        """
        if flight.batch is None:
            made = await api.find(flight.mark)
            if made is None:
                raise NotTaken(f"the batch {flight} was never made")
            flight.batch = made.id
            self._flights.keep(flight)

    async def wait(self, flight: Flight, api: BatchApi, on_look: Callable[[Batch], None], *, former: bool) -> Batch:
        """Look at a batch, ever more seldom, until it has ended with answers, if only some.

        Args:
            flight: The batch.
            api: The batch API of its endpoint.
            on_look: Told how it stands.
            former: Whether it is an earlier simulation's: then it may have been cancelled on purpose.

        Raises:
            NotTaken: Where the account's queue has no room for it.
            EndpointError: Where the endpoint refused it, it was cancelled meanwhile, or it cannot be looked at.
            ModelNameError: Where the endpoint does not have the model.
        """
        assert flight.batch is not None
        wait, failed = min(_FIRST_WAIT, self._poll_seconds), 0
        while True:
            try:
                batch = await api.look(flight.batch)
            except EndpointError as error:
                failed += 1
                if failed >= _FAILED_LOOKS or not passes(error.status):
                    raise self._lost(flight, error) from None
            else:
                failed = 0
                on_look(batch)
                former = former and (batch.ended or batch.status == "cancelling")
                if batch.ended:
                    return self._ended(flight, batch, former=former)
            await asyncio.sleep(wait)
            wait = min(wait * _LONGER, self._poll_seconds)

    async def answers(self, flight: Flight, api: BatchApi, batch: Batch) -> dict[str, Answer]:
        """Return what came of a batch's requests, by their ids; some may be missing.

        Raises:
            EndpointError: Where the endpoint does not have the answers any more, or fails.
        """
        try:
            return dict(await api.answers(batch))
        except EndpointError as error:
            raise self._lost(flight, error) from None

    def _ended(self, flight: Flight, batch: Batch, *, former: bool) -> Batch:
        if batch.status == "cancelled" and not former:
            raise EndpointError(
                f"the batch {flight} was cancelled at the endpoint; simulate again to take the answers that it gave, "
                "and to send the other calls again"
            )
        if batch.status == "failed":
            problems = "; ".join(batch.problems[:_TOLD_PROBLEMS]) or "the endpoint gave no reason"
            message = (
                f"the endpoint refused the batch {flight}: {problems}; none of its calls was made. Correct what it "
                "names, and simulate again: everything answered before is kept"
            )
            self._flights.forget(flight)
            if _QUEUE_IS_FULL in problems:
                refused = NotTaken(message)
                refused.too_large = True
                raise refused
            raise (ModelNameError if "model_not_found" in problems else EndpointError)(message)
        return batch

    def _lost(self, flight: Flight, error: EndpointError) -> EndpointError:
        if passes(error.status):
            return EndpointError(f"{error}. The batch is kept: simulate again to take its answers", error.status)
        return EndpointError(
            f"{error}. It is the batch {flight}; remove {self._flights.path(flight)} to send its calls again",
            error.status,
        )
