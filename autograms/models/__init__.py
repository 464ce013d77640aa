"""Models: ``provider/model`` names, the protocol, and its implementations, which are imported when they are named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autograms.models.base import Message, Model, Reply, Request
from autograms.models.limits import Limits
from autograms.models.resolve import resolve_model
from autograms.models.retries import RetryPolicy
from autograms.models.scripted import ScriptedModel

if TYPE_CHECKING:
    from autograms.models.checkpoint import CheckpointModel
    from autograms.models.offline import OfflineModel
    from autograms.models.openai import OpenAIModel

__all__ = [
    "CheckpointModel",
    "Limits",
    "Message",
    "Model",
    "OfflineModel",
    "OpenAIModel",
    "Reply",
    "Request",
    "RetryPolicy",
    "ScriptedModel",
    "resolve_model",
]
_LATE = {"CheckpointModel": "checkpoint", "OfflineModel": "offline", "OpenAIModel": "openai"}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)
