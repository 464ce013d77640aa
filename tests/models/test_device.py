from __future__ import annotations

import pytest

from autograms.models.device import CPU, Device, find_device


@pytest.mark.parametrize(
    ("device", "dtype"),
    [
        (Device("cuda", "A100", (8, 0)), "bfloat16"),
        (Device("cuda", "T4", (7, 5)), "float32"),
        (CPU, "float32"),
    ],
)
def test_a_model_answers_in_bfloat16_where_the_gpu_computes_in_it(device: Device, dtype: str) -> None:
    assert device.dtype == dtype


def test_the_device_is_the_one_that_torch_sees() -> None:
    import torch

    assert find_device().gpu == torch.cuda.is_available()
    assert (find_device() == CPU) != torch.cuda.is_available()
