"""``autograms export``: a trained model as a folder that stands for itself, on a hub, or as a GGUF file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from autograms.cli.stored_models import Stage, StoredModel, find_model

__all__ = ["export"]


def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The autogram, or the folder of a trained model.")],
    to: Annotated[str, typer.Option("--to", metavar="DIR|hub|gguf", help="A folder to write, hub, or gguf.")],
    stage: Annotated[
        Stage | None, typer.Option("--stage", help="Which of the autogram's models; dpo where there is one.")
    ] = None,
    repo: Annotated[
        str | None, typer.Option("--repo", help="For hub: NAME or ORGANIZATION/NAME; the autogram's name where unset.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="For hub: let everybody see a new repository.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", help="For gguf: the file to write; NAME.gguf where unset.")
    ] = None,
    outtype: Annotated[
        str, typer.Option("--outtype", help="For gguf: the weights' type: f32, f16, bf16, q8_0, auto.")
    ] = "f16",
) -> None:
    """Export a trained model: merged, with its tokenizer and a card that tells of its data, recipe and evaluation.

    hub takes its key from HF_TOKEN (or what huggingface_hub's login stored). gguf needs llama.cpp's converter: in the
    folder that LLAMA_CPP names, or on PATH. It reads no embedded student, whose tokenizer is made of your rows.

    Example:

    \b
    autograms export support_desk --to exported/support_desk
    autograms export support_desk --to hub --repo my_organization/support_desk
    autograms export article_helper --to gguf --outtype q8_0
    """
    from autograms.finetuning.export import export_folder, find_converter, push_to_hub, write_gguf

    model = find_model(name, stage)
    told: dict[str, Any] = {"metrics": model.metrics(), "settings": model.dataset_settings(), "name": model.name}
    if to not in ("hub", "gguf"):
        print(f"wrote {export_folder(model.folder, Path(to), **told)}")
        return
    if to == "gguf":
        find_converter(model.folder)
    with tempfile.TemporaryDirectory(prefix="autograms-export-") as scratch:
        folder = export_folder(model.folder, Path(scratch) / _plain(model), **told)
        if to == "hub":
            print(f"pushed {push_to_hub(folder, repo or model.name, private=not public)}")
        else:
            print(f"wrote {write_gguf(folder, output or Path(f'{model.name}.gguf'), outtype=outtype)}")


def _plain(model: StoredModel) -> str:
    return model.name or "model"
