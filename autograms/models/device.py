"""What models run on: the GPU that torch sees, or the CPU.

What belongs here: looking at the machine, in one place. What does not: what follows from it for a training
(``autograms.finetuning.placement``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CPU", "Device", "find_device"]

_BFLOAT16_SINCE = (8, 0)
"""The compute capability from which on a GPU computes in bfloat16; older ones emulate it, slowly."""


@dataclass(frozen=True, slots=True)
class Device:
    """What a process computes on.

    Attributes:
        kind: ``cuda`` where torch sees a GPU, as torch names devices.
        name: The GPU's name.
        capability: The GPU's compute capability, major and minor.
    """

    kind: Literal["cuda", "cpu"]
    name: str
    capability: tuple[int, int] = (0, 0)

    @property
    def gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.kind == "cuda"

    @property
    def bfloat16(self) -> bool:
        """Whether it is a GPU that computes in bfloat16."""
        return self.gpu and self.capability >= _BFLOAT16_SINCE

    @property
    def dtype(self) -> Literal["bfloat16", "float32"]:
        """The numbers in which a finished model answers there."""
        return "bfloat16" if self.bfloat16 else "float32"


CPU = Device("cpu", "cpu")


def find_device() -> Device:
    """Return what this process computes on."""
    import torch

    if not torch.cuda.is_available():
        return CPU
    return Device("cuda", torch.cuda.get_device_name(), torch.cuda.get_device_capability())
