"""Options that several commands share, so that they read alike everywhere."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = [
    "ApiKeyFile",
    "BaseUrl",
    "ConfigFile",
    "FinetuningKind",
    "FinetuningType",
    "MinScore",
    "Provider",
    "ProviderType",
    "RequireSupervisor",
    "RowKind",
    "SaveDir",
    "TagQuery",
    "ValidationFraction",
]


class ProviderType(StrEnum):
    """Where a model is finetuned."""

    huggingface = "huggingface"
    openai = "openai"


class FinetuningKind(StrEnum):
    """How a model is finetuned."""

    normal = "normal"
    dpo = "dpo"

    @property
    def rows(self) -> RowKind:
        """The kind of rows that it needs: ``sft`` or ``dpo``."""
        return "dpo" if self is FinetuningKind.dpo else "sft"


RowKind = Literal["sft", "dpo"]
"""What a row of a dataset is for."""


BaseUrl = Annotated[str | None, typer.Option("--base_url", help="URL of an OpenAI-compatible endpoint.")]
ApiKeyFile = Annotated[Path | None, typer.Option("--api_key_file", help='JSON file: {"openai": "KEY"}.')]
ConfigFile = Annotated[Path | None, typer.Option("--config_file", help="JSON or TOML options of AutogramConfig.")]
SaveDir = Annotated[Path, typer.Option("--save_dir", help="Folder that a simulation wrote.")]
Provider = Annotated[ProviderType, typer.Option("--model_type", help="Where the model is finetuned.")]
FinetuningType = Annotated[
    FinetuningKind, typer.Option("--finetuning_type", help="normal: on the best outputs; dpo: on preferences.")
]
TagQuery = Annotated[
    str | None,
    typer.Option("--tag_query", help="Only calls with these tags: 'a & (b | !c)'. The supervisor sets tags."),
]
MinScore = Annotated[float | None, typer.Option("--min_score", help="Only calls that scored at least this.")]
RequireSupervisor = Annotated[
    bool | None, typer.Option("--require_supervisor", help="Only calls that a supervisor answered.")
]
ValidationFraction = Annotated[
    float | None, typer.Option("--validation_fraction", help="Share of the conversations that is held out.")
]
