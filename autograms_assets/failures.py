"""The one boundary between this project's errors and Dagster: an error becomes one clear failure of its step."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from autograms.errors import AutogramsError, EndpointError

__all__ = ["clear_failures"]


@contextmanager
def clear_failures() -> Iterator[None]:
    """Turn an :class:`~autograms.errors.AutogramsError` into a ``dagster.Failure`` with its message.

    Trying again helps only where an endpoint failed, so nothing else is retried.
    """
    try:
        yield
    except AutogramsError as error:
        raise dg.Failure(
            description=str(error),
            metadata={"error": type(error).__name__},
            allow_retries=isinstance(error, EndpointError),
        ) from None
