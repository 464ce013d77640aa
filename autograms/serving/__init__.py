"""Serving: an autogram, or the model alone, as an OpenAI-compatible chat endpoint."""

from autograms.serving.app import build_app
from autograms.serving.conversations import Conversations
from autograms.serving.talkers import ModelTalker, ProgramTalker

__all__ = ["Conversations", "ModelTalker", "ProgramTalker", "build_app"]
