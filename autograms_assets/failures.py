"""The one boundary between this project's errors and Dagster: an error becomes one clear failure of its step."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from autograms.conversation.storage import reaching
from autograms.errors import AutogramsError, EndpointError

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["clear_failures"]


@contextmanager
def clear_failures(storage: "Path | UPath") -> Iterator[None]:
    """Turn an :class:`~autograms.errors.AutogramsError` into a ``dagster.Failure`` with its message.

    Trying again helps only where an endpoint failed, so nothing else is retried.

    Args:
        storage: The storage's root: what an object store refuses is one of this project's errors, too.
    """
    try:
        with reaching(storage):
            yield
    except AutogramsError as error:
        raise dg.Failure(
            description=str(error),
            metadata={"error": type(error).__name__},
            allow_retries=isinstance(error, EndpointError),
        ) from None
