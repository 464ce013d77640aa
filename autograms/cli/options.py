"""Options that several commands share, so that they read alike everywhere.

A single option is an annotated type. Options that always come together are a ``TypedDict``: a command takes them as
``**flags: Unpack[DatasetFlags]`` and is decorated with :func:`spelled_out`. What does not belong here: what becomes of
them (``recipes``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, TypedDict, TypeVar, get_args, get_type_hints

import typer

__all__ = [
    "ApiKeyFile",
    "AutogramFile",
    "BaseUrl",
    "BudgetCalls",
    "BudgetUsd",
    "CastFlags",
    "Concurrency",
    "ConfigFile",
    "DatasetFlags",
    "FinetuningKind",
    "FinetuningType",
    "Provider",
    "ProviderType",
    "RowKind",
    "SaveDir",
    "Status",
    "spelled_out",
]

_Command = TypeVar("_Command", bound=Callable[..., None])
_NAMED = inspect.Parameter.KEYWORD_ONLY


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
AutogramFile = Annotated[Path, typer.Option("--autogram_file", help="The chatbot's program: it defines chatbot().")]
Concurrency = Annotated[int, typer.Option("--concurrency", min=1, help="Conversations at once, at the most.")]
BudgetUsd = Annotated[float | None, typer.Option("--budget_usd", min=0, help="US dollars that it may cost.")]
BudgetCalls = Annotated[int | None, typer.Option("--budget_calls", min=0, help="Model calls that it may pay for.")]
SaveDir = Annotated[Path, typer.Option("--save_dir", help="Folder that a simulation wrote.")]
Provider = Annotated[ProviderType, typer.Option("--model_type", help="Where the model is finetuned.")]
FinetuningType = Annotated[
    FinetuningKind, typer.Option("--finetuning_type", help="normal: on the best outputs; dpo: on preferences.")
]


class Status(StrEnum):
    """How a conversation ended."""

    completed = "completed"
    truncated = "truncated"
    failed = "failed"


class CastFlags(TypedDict):
    """Who talks to whom: the user's program, and both programs' models; ``None`` where not given."""

    userbot_file: Annotated[
        Path | None, typer.Option("--userbot_file", help="The user's program; a plain model-driven user where unset.")
    ]
    model: Annotated[
        str | None, typer.Option("--model", help="The chatbot's model: openai/NAME, checkpoint/FOLDER, offline/demo.")
    ]
    user_model: Annotated[str | None, typer.Option("--user_model", help="The user's model; as --model where unset.")]
    base_url: BaseUrl
    config_file: Annotated[
        Path | None, typer.Option("--config_file", help="JSON or TOML options of the chatbot's AutogramConfig.")
    ]
    user_config_file: Annotated[
        Path | None, typer.Option("--user_config_file", help="JSON or TOML options of the user's AutogramConfig.")
    ]
    api_key_file: ApiKeyFile


class DatasetFlags(TypedDict):
    """A flag for each of :class:`~autograms.settings.DatasetSettings`, of the same name; ``None`` where not given."""

    tag_query: Annotated[
        str | None,
        typer.Option("--tag_query", help="Only calls with these tags: 'a & (b | !c)'. The supervisor sets tags."),
    ]
    min_score: Annotated[float | None, typer.Option("--min_score", help="Only calls that scored at least this.")]
    require_supervisor: Annotated[
        bool | None,
        typer.Option("--require_supervisor/--no_require_supervisor", help="Only calls that a supervisor answered."),
    ]
    primitives: Annotated[
        list[str] | None, typer.Option("--primitives", help="Only calls of this primitive; may be repeated.")
    ]
    exclude_primitives: Annotated[
        list[str] | None, typer.Option("--exclude_primitives", help="No calls of this primitive; may be repeated.")
    ]
    statuses: Annotated[
        list[Status] | None,
        typer.Option("--statuses", help="Conversations that ended so; may be repeated. Completed ones where unset."),
    ]
    validation_fraction: Annotated[
        float | None, typer.Option("--validation_fraction", help="Share of the conversations that is held out.")
    ]
    split_seed: Annotated[int | None, typer.Option("--split_seed", help="Another seed holds out others.")]
    group_by: Annotated[
        list[str] | None,
        typer.Option(
            "--group_by",
            help="Field of the scenario, such as user_kwargs.persona, no value of which stands on both sides of the "
            "split; may be repeated.",
        ),
    ]
    hold_out: Annotated[
        list[str] | None,
        typer.Option(
            "--hold_out",
            metavar="FIELD=VALUE",
            help="Always hold out the scenarios whose field has this value (JSON, or a text); may be repeated.",
        ),
    ]
    deduplicate: Annotated[
        bool | None,
        typer.Option("--deduplicate/--no_deduplicate", help="Keep equal rows once, the default."),
    ]
    near_duplicates: Annotated[
        float | None,
        typer.Option("--near_duplicates", help="Leave out calls this similar to another (0.8: nearly equal ones)."),
    ]
    max_tokens_total: Annotated[
        int | None, typer.Option("--max_tokens_total", help="Tokens that the training rows may have together.")
    ]


def spelled_out(*, after: str | None = None) -> Callable[[_Command], _Command]:
    """Give a command that ends in ``**flags: Unpack[SomeFlags]`` a signature that names each of these flags.

    The command line is made from signatures; each flag is ``None`` where it is not given.

    Args:
        after: The option behind which they stand in ``--help``; the last one where unset.
    """

    def spell(command: _Command) -> _Command:
        signature = inspect.signature(command, eval_str=True)
        *named, flags = (each.replace(kind=_NAMED) for each in signature.parameters.values())
        (shared,) = get_args(flags.annotation)
        spelled = [
            inspect.Parameter(name, _NAMED, default=None, annotation=annotation)
            for name, annotation in get_type_hints(shared, include_extras=True).items()
        ]
        place = len(named) if after is None else 1 + [each.name for each in named].index(after)
        ordered = [*named[:place], *spelled, *named[place:]]
        command.__signature__ = signature.replace(parameters=ordered)  # type: ignore[attr-defined]
        return command

    return spell
