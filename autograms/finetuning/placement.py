"""How a training uses the device that it runs on: numbers, attention, memory, and what it refuses for want of one.

Decisions alone, of what is passed in, so that they can be tested without a GPU. What does not belong here: looking at
the machine (``autograms.models.device``), and training.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from autograms.errors import TrainingError
from autograms.models.device import Device
from autograms.models.loading import SAFE, load_config
from autograms.settings import LoraSettings

__all__ = ["Placement", "place", "require_four_bits", "takes_flash_attention"]


@dataclass(frozen=True, slots=True)
class Placement:
    """How a training uses its device.

    Attributes:
        gpu: Whether it is a GPU.
        dtype: The numbers in which the weights are kept.
        mixed: Whether weights in float32 are computed with in bfloat16.
        flash: Whether attention is that of the package ``flash_attn``; torch's own (SDPA) otherwise, where the model
            has it.
        recompute: Whether activations are computed again in the backward pass, which saves memory.
    """

    gpu: bool
    dtype: str
    mixed: bool
    flash: bool
    recompute: bool

    def arguments(self) -> dict[str, Any]:
        """Return the keywords of transformers' training arguments."""
        return {
            "use_cpu": not self.gpu,
            "bf16": self.mixed,
            "activation_checkpointing": self.recompute,
            "dataloader_pin_memory": self.gpu,
        }

    def loading(self) -> dict[str, Any]:
        """Return the keywords with which transformers loads the model."""
        return {**SAFE, "dtype": self.dtype, **({"attn_implementation": "flash_attention_2"} if self.flash else {})}


def place(device: Device, *, tiny: bool, lora: bool, flash: bool) -> Placement:
    """Decide how a training uses a device.

    Args:
        device: What it runs on.
        tiny: Whether the embedded student is trained, which has no use for any of it.
        lora: Whether adapters are trained: the weights under them do not change, and are kept in bfloat16.
        flash: Whether the package ``flash_attn`` is installed and the model takes it.
    """
    half = device.bfloat16 and not tiny
    return Placement(
        gpu=device.gpu,
        dtype="bfloat16" if half and lora else "float32",
        mixed=half,
        flash=flash and half,
        recompute=device.gpu and not tiny,
    )


def takes_flash_attention(model: str) -> bool:
    """Return whether the package ``flash_attn`` is installed, and transformers' code for a model uses it.

    Args:
        model: A folder, or a name on the Hugging Face hub.
    """
    if find_spec("flash_attn") is None:
        return False
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(load_config(model)), None)
    return bool(getattr(kind, "_supports_flash_attn", False))


def require_four_bits(lora: LoraSettings, device: Device, *, installed: bool) -> None:
    """Refuse a base in four bits where it cannot be had.

    Args:
        lora: The recipe's ``lora``.
        device: What the training runs on.
        installed: Whether the package ``bitsandbytes`` is installed.

    Raises:
        TrainingError: Where four bits are asked for, and the package or the GPU is missing.
    """
    if not lora.quantize_4bit:
        return
    asked = "the recipe's lora.quantize_4bit loads the base in four bits, which needs"
    if not device.gpu:
        raise TrainingError(
            f"{asked} an NVIDIA GPU, and torch sees none where this training runs; train where there is one, or leave "
            "quantize_4bit out to train the same adapters on the whole base"
        )
    if not installed:
        raise TrainingError(
            f"{asked} the package bitsandbytes, which is not installed where this training runs; pip install "
            "bitsandbytes there, or leave quantize_4bit out to train the same adapters on the whole base"
        )
