"""From ``provider/model`` to the model. Providers are imported when they are named."""

from __future__ import annotations

from autograms.errors import ModelNameError, nearest
from autograms.models.base import Model
from autograms.models.limits import Limits

__all__ = ["PROVIDERS", "resolve_model"]

PROVIDERS = ("openai", "checkpoint", "offline")
_FORMS = "openai/NAME, checkpoint/PATH or offline/demo"


def resolve_model(
    name: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    max_tries: int = 6,
    limits: Limits | None = None,
) -> Model:
    """Return the model that a ``provider/model`` name stands for.

    Args:
        name: ``openai/NAME`` for any OpenAI-compatible endpoint, ``checkpoint/PATH`` for a folder with a model, or
            ``offline/demo``.
        base_url: The endpoint of an ``openai`` model.
        api_key: Its key.
        max_tries: How often a request that failed for a passing reason is sent in all.
        limits: Concurrency and rates of an ``openai`` model.

    Raises:
        ModelNameError: Where the provider or the model is unknown.
        CredentialsError: Where OpenAI's own endpoint is meant and no key is given.
        EndpointError: Where ``base_url`` is no URL.
    """
    provider, slash, rest = name.partition("/")
    if not slash and name not in PROVIDERS:
        raise ModelNameError(f"model {name!r} names no provider; expected {_FORMS}: did you mean 'openai/{name}'?")
    if provider in PROVIDERS and not rest:
        raise ModelNameError(f"model {name!r} names a provider only; expected {_FORMS}")
    if provider == "openai":
        from autograms.models.openai import OpenAIModel

        return OpenAIModel(rest, base_url=base_url, api_key=api_key, max_tries=max_tries, limits=limits)
    if provider == "checkpoint":
        from autograms.models.checkpoint import CheckpointModel

        return CheckpointModel(rest)
    if provider == "offline":
        from autograms.models.offline import OfflineModel

        return OfflineModel(rest)
    raise ModelNameError(
        f"model {name!r}: unknown provider {provider!r}{nearest(provider, PROVIDERS)} expected {_FORMS}"
    )
