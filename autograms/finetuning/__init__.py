"""Finetuning: rows become tokens, tokens train a model, a model becomes a folder that anyone can load.

``train_sft`` and ``train_dpo`` do all of it; ``prepare_job``, a job's ``command`` and ``finish_job`` are their parts,
for those who start the worker themselves.
"""

from autograms.finetuning.audit import TokenAudit
from autograms.finetuning.counting import audit_rows, token_counter
from autograms.finetuning.job import Job, JobSpec, TrainingResult, finish_job, prepare_job, read_result
from autograms.finetuning.openai_jobs import OpenAIResult, read_openai_result, run_openai_job
from autograms.finetuning.train import run_job, train_dpo, train_sft

__all__ = [
    "Job",
    "JobSpec",
    "OpenAIResult",
    "TokenAudit",
    "TrainingResult",
    "audit_rows",
    "finish_job",
    "prepare_job",
    "read_openai_result",
    "read_result",
    "run_job",
    "run_openai_job",
    "token_counter",
    "train_dpo",
    "train_sft",
]
