"""Evaluation: is the finetuned model better than its base, by how much, and how sure of that may we be."""

from autograms.evaluation.answers import Candidate
from autograms.evaluation.evaluate import Evaluation, evaluate

__all__ = ["Candidate", "Evaluation", "evaluate"]
