"""Which calls become rows."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from autograms.settings.strict import Strict

__all__ = ["DatasetSettings"]

Status = Literal["completed", "truncated", "failed"]


class DatasetSettings(Strict):
    """Which calls become rows.

    Attributes:
        tag_query: Tags joined by ``&``, ``|``, ``!`` and parentheses.
        min_score: Keep calls whose supervisor scored at least this; calls with no score pass.
        require_supervisor: Keep supervised calls only.
        primitives: Keep these primitives only; all where empty.
        exclude_primitives: Leave these primitives out.
        statuses: Keep conversations that ended so.
        validation_fraction: Share of the conversations that is held out.
        split_seed: Seed of the split.
        group_by: Fields of the scenario, such as ``user_kwargs.persona``: conversations that share a value of any of
            them stand on one side of the split.
        hold_out: Scenarios that are always held out: a field, and its values.
        deduplicate: Remove rows that stand in the table already.
        near_duplicates: Remove calls that are this similar to another (Jaccard, by MinHash), and calls that train and
            are this similar to one that is held out; only exact duplicates where unset.
        max_tokens_total: Tokens that the training rows may have together; any number where unset.
    """

    tag_query: str = ""
    min_score: float | None = None
    require_supervisor: bool = False
    primitives: list[str] = Field(default_factory=list)
    exclude_primitives: list[str] = Field(default_factory=list)
    statuses: list[Status] = Field(default_factory=lambda: list[Status](["completed"]))
    validation_fraction: float = Field(default=0.2, ge=0, lt=1)
    split_seed: int = 0
    group_by: list[str] = Field(default_factory=list)
    hold_out: dict[str, list[Any]] = Field(default_factory=dict)
    deduplicate: bool = True
    near_duplicates: float | None = Field(default=None, gt=0, le=1)
    max_tokens_total: int | None = Field(default=None, ge=1)
