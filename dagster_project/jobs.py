"""The jobs: the whole chain, and the two halves of it that people start by themselves."""

import dagster as dg

__all__ = ["CHAIN", "JOBS"]

CHAIN = dg.define_asset_job(
    "autogram_chain",
    selection=dg.AssetSelection.all(),
    description="From an autogram's file to a finetuned, evaluated model; what is not stale is reused.",
)

_SIMULATE = dg.define_asset_job(
    "simulate",
    selection=dg.AssetSelection.assets("sft_dataset", "dpo_dataset").upstream(),
    description="Simulate an autogram's scenarios and build the datasets.",
)

_FINETUNE = dg.define_asset_job(
    "finetune",
    selection=dg.AssetSelection.assets("sft_model", "dpo_model", "evaluation", "leaderboard"),
    description="Train on an autogram's datasets and evaluate the models.",
)

JOBS = [CHAIN, _SIMULATE, _FINETUNE]
