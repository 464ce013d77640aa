"""What a dataset comes to in the tokens of the model that is trained on it, known before the training.

What does not belong here: counting (``autograms.finetuning``), and what a check's failing means (``checks``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from autograms.conversation.markdown import code
from autograms.errors import DatasetError, TrainingError
from autograms.settings import AutogramSettings
from autograms_assets.checks import audit_verdict
from autograms_assets.pictures import small_bars
from autograms_assets.stamps import Verdict

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """The model that a dataset trains.

    Attributes:
        model: ``tiny``, a folder, or a name on the hub.
        max_length: Longest row that its recipe takes, in tokens.
        truncate: Whether the prompts of longer rows are cut.
    """

    model: str
    max_length: int
    truncate: bool

    @classmethod
    def of(cls, kind: Literal["sft", "dpo"], settings: AutogramSettings) -> Target | None:
        """Return the target of an autogram's dataset, ``None`` where an endpoint trains, whose tokens nobody knows."""
        recipe = settings.dpo if kind == "dpo" else settings.sft
        first = settings.sft if recipe.model == "sft" else recipe
        if "openai" in (recipe.backend, first.backend):
            return None
        return cls(first.model, recipe.max_length, recipe.truncate)

    def audit(self, kind: Literal["sft", "dpo"], table: pa.Table) -> tuple[dict[str, Any], Verdict]:
        """Count the rows that train; return what people look at, and what the check ``rows_fit`` finds."""
        from autograms.finetuning import audit_rows

        if "train" not in table["split"].unique().to_pylist():
            return {}, audit_verdict(None, "there are no rows to count")
        try:
            audit = audit_rows(table, kind, model=self.model, max_length=self.max_length, truncate=self.truncate)
        except (TrainingError, DatasetError) as error:
            return {}, audit_verdict(None, f"the rows could not be counted: {error}", passed=False)
        summary = {
            "tokens": audit.tokens,
            "tokens with loss": audit.loss_tokens,
            "lengths": small_bars(audit.histogram, "rows by length in tokens"),
            "token audit": {"md": f"In the tokens of {code(Path(self.model).name)}.\n\n{audit.as_markdown()}"},
        }
        return summary, audit_verdict(audit, audit.told())
