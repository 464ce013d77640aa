"""Whether a model's name leads somewhere, known before anything waits for it.

What does not belong here: loading a model (``local``), and uploading one (``autograms.finetuning.export``).
"""

from __future__ import annotations

from pathlib import Path

from autograms.errors import ModelNameError

__all__ = ["require_model"]

_SECONDS = 10.0


def require_model(name: str) -> str:
    """Return what transformers loads for a name: a folder, or a name on the Hugging Face hub.

    A name on the hub must be in the hub's cache on this machine, or known to the hub, which is asked once: left to
    itself, the loader asks for many files, many times each, and says so after minutes.

    Args:
        name: A folder, or ``ORGANIZATION/NAME``.

    Raises:
        ModelNameError: Where it is neither, or the hub cannot be reached.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder)
    from huggingface_hub import HfApi, try_to_load_from_cache

    try:
        if not isinstance(try_to_load_from_cache(name, "config.json"), str):
            HfApi().model_info(name, timeout=_SECONDS)
    except Exception as error:  # no such name, no key for it, no network: each library has errors of its own
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelNameError(
            f"{name!r} is neither a folder nor a model of the hub; expected a folder with config.json, the tokenizer's "
            f"files and *.safetensors, or ORGANIZATION/NAME ({reason[0][:300]})"
        ) from None
    return name
