"""The one partition of every asset: the autogram, by the stem of its file.

What does not belong here: who adds and removes keys (the sensor and ``dagster_project.sync``).
"""

import re

import dagster as dg

__all__ = ["AUTOGRAMS", "PARTITION_NAMES", "is_partition_name"]

AUTOGRAMS = dg.DynamicPartitionsDefinition(name="autogram")

PARTITION_NAMES = "expected A-Z, a-z, 0-9, '_', '.' and '-' only, the first no '.' or '-'"
"""What a name must be made of, for messages."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def is_partition_name(name: str) -> bool:
    """Return whether an autogram's name can be a partition key.

    Commas break backfills and bars break keys of several dimensions, so letters, digits, ``_``, ``.`` and ``-`` only.
    """
    return _NAME.fullmatch(name) is not None
