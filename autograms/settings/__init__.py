"""What people set: ``AutogramConfig``, a project's ``autograms.toml``, and the recipes in it.

Pydantic models only. Unknown keys are refused with the nearest known one. What does not belong here: anything
that acts on a setting.
"""

from autograms.settings.asking import AutogramConfig
from autograms.settings.autogram import AutogramSettings, BranchSettings, SampleSettings
from autograms.settings.datasets import DatasetSettings
from autograms.settings.project import Place, Project, find_project, load_project
from autograms.settings.recipes import DpoRecipe, EvaluationSettings, LoraSettings, SftRecipe

__all__ = [
    "AutogramConfig",
    "AutogramSettings",
    "BranchSettings",
    "DatasetSettings",
    "DpoRecipe",
    "EvaluationSettings",
    "LoraSettings",
    "Place",
    "Project",
    "SampleSettings",
    "SftRecipe",
    "find_project",
    "load_project",
]
