"""Models: ``provider/model`` names, the protocol, and its implementations."""

from autograms.models.base import Message, Model, Reply, Request
from autograms.models.scripted import ScriptedModel

__all__ = ["Message", "Model", "Reply", "Request", "ScriptedModel"]
