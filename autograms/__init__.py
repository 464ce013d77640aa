"""Autograms: chatbots as ordinary Python programs, simulated, supervised, and distilled into smaller models."""

from autograms.autogram import Autogram, AutogramsReturn, load_autogram, use_config
from autograms.conversation.record import Memory
from autograms.memory import MemoryObject
from autograms.program.decorators import autograms_chatbot, autograms_external, autograms_function, autograms_node
from autograms.settings import AutogramConfig

__version__ = "0.1.0"

__all__ = [
    "Autogram",
    "AutogramConfig",
    "AutogramsReturn",
    "Memory",
    "MemoryObject",
    "__version__",
    "autograms_chatbot",
    "autograms_external",
    "autograms_function",
    "autograms_node",
    "load_autogram",
    "use_config",
]
