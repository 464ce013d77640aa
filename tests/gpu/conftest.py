"""Tests that need a GPU: ``pytest -m gpu tests/gpu``, on a machine that has one."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="session")
def gpu() -> None:
    """Skip where torch sees no GPU."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU here (torch.cuda.is_available() is false)")
