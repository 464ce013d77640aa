"""A model to plan with: it is who another model is, and is never asked."""

from __future__ import annotations

from autograms.errors import ModelError
from autograms.models.base import Model, Reply, Request
from autograms.models.resolve import resolve_model

__all__ = ["UnaskedModel", "unasked_model"]


class UnaskedModel:
    """A model to plan with: it has a name, and is never asked.

    Args:
        name: ``provider/model``.
        origin: As the model's own that it stands for.
    """

    def __init__(self, name: str, origin: str = "") -> None:
        self.name, self.origin = name, origin

    async def complete(self, request: Request) -> Reply:
        """Refuse.

        Raises:
            ModelError: Always.
        """
        raise ModelError(f"{self.name} is not asked while a simulation is planned")

    async def embed(self, texts: list[str], *, model: str | None = None) -> list[list[float]]:
        """Refuse.

        Raises:
            ModelError: Always.
        """
        raise ModelError(f"{self.name} is not asked while a simulation is planned")

    async def close(self) -> None:
        """Do nothing: there is nothing to give back."""


def unasked_model(name: str, *, base_url: str | None = None) -> Model:
    """Return a model to plan with; an endpoint's model needs no key.

    Args:
        name: ``provider/model``.
        base_url: As in :func:`~autograms.models.resolve_model`.

    Raises:
        ModelNameError: Where the provider or the model is unknown.
        EndpointError: Where ``base_url`` is no URL.
    """
    if not name.startswith("openai/"):
        return resolve_model(name)
    from autograms.models.openai import endpoint_origin

    return UnaskedModel(name, endpoint_origin(base_url))
