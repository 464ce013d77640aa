"""How models, tokenizers and configurations are loaded: weights in safetensors only, and no code that came with them.

All that transformers loads is loaded here, or with these keywords. Left to itself, transformers also reads weights that
are pickles, and asks on the terminal whether to run a model's own code. What does not belong here: what is done with a
model (``local``, ``autograms.finetuning``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from autograms.errors import ModelNameError
from autograms.models.hub import require_model

__all__ = ["SAFE", "load_config", "load_model", "load_tokenizer", "refusing"]

_NO_CODE = {"trust_remote_code": False}
SAFE: Mapping[str, Any] = MappingProxyType({**_NO_CODE, "use_safetensors": True})
"""Keywords with which a model's weights are loaded where something else than :func:`load_model` does."""


def load_model(name: str | Path, **options: Any) -> Any:
    """Load a causal language model, without progress bars.

    Args:
        name: A folder, or a name on the Hugging Face hub.
        **options: Further keywords of transformers.

    Raises:
        ModelNameError: Where there is none that can be loaded, or it would take a pickle or code of its own.
    """
    from transformers import AutoModelForCausalLM

    with _quietly():
        return _load(AutoModelForCausalLM.from_pretrained, name, {**SAFE, **options})


def load_tokenizer(name: str | Path) -> Any:
    """Load a model's tokenizer.

    Raises:
        ModelNameError: As :func:`load_model` does.
    """
    from transformers import AutoTokenizer

    return _load(AutoTokenizer.from_pretrained, name, _NO_CODE)


def load_config(name: str | Path) -> Any:
    """Load a model's configuration.

    Raises:
        ModelNameError: As :func:`load_model` does.
    """
    from transformers import AutoConfig

    return _load(AutoConfig.from_pretrained, name, _NO_CODE)


@contextmanager
def refusing(name: str | Path) -> Iterator[None]:
    """Tell why a model is refused, and the remedy, where something else loads it with the keywords of ``SAFE``.

    Raises:
        ModelNameError: Where it would take a pickle or code of its own. All other errors are left as they are.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        refusal = _refusal(name, error)
        if refusal is None:
            raise
        raise ModelNameError(refusal) from error


def _load(load: Callable[..., Any], name: str | Path, options: Mapping[str, Any]) -> Any:
    source = require_model(str(name))
    try:
        return load(source, local_files_only=Path(source).is_dir(), **options)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelNameError(
            _refusal(name, error)
            or f"{str(name)!r} is not a model that can be loaded; expected config.json, the tokenizer's files and "
            f"*.safetensors ({reason[0][:300]})"
        ) from error


def _refusal(name: str | Path, error: Exception) -> str | None:
    """Return why a model is refused, ``None`` where something else is wrong with it."""
    if isinstance(error, ValueError) and "trust_remote_code" in str(error):
        return (
            f"{str(name)!r} can only be loaded by running code that comes with it, which is never done; take a model "
            "of a kind that transformers knows by itself"
        )
    if isinstance(error, OSError) and "safetensors" in str(error):
        return (
            f"{str(name)!r} has no weights in *.safetensors; those in pytorch_model.bin are pickles, which can run "
            "code and are never read: take a model that has *.safetensors, or, where you trust it, convert it once by "
            "AutoModelForCausalLM.from_pretrained(OLD).save_pretrained(NEW) of transformers"
        )
    return None


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep transformers from drawing progress bars between the lines of a conversation or a report."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
