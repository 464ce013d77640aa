"""One autogram's table in ``autograms.toml``: how it is simulated, and the settings of all that follows."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from autograms.settings.datasets import DatasetSettings
from autograms.settings.recipes import DpoRecipe, EvaluationSettings, SftRecipe
from autograms.settings.strict import Strict

__all__ = ["AutogramSettings", "BranchSettings", "SampleSettings"]


class SampleSettings(Strict):
    """A part of a scenario file.

    Attributes:
        n: How many scenarios.
        seed: Another seed draws others.
    """

    n: int = Field(ge=1)
    seed: int = 0


class BranchSettings(Strict):
    """Continuations of simulated conversations.

    Attributes:
        at: The call from which on they differ: ``reply_instruction``, ``reply_instruction#2``, ``turn#-1``, ...
        n: How many.
    """

    at: str
    n: int = Field(ge=1)


class AutogramSettings(Strict):
    """One autogram's table in ``autograms.toml``: ``[autograms.NAME]``, on top of ``[defaults]``.

    Attributes:
        userbot: Stem of a file in ``userbots/``; a plain model-driven user where unset.
        scenarios: File in ``scenarios/`` (JSON, JSON Lines, CSV or Parquet); ``num_examples`` empty scenarios where
            unset.
        files: Data files that the programs open, as paths or patterns inside of the project (``data/*.json``): what
            they hold is part of what everything is made from.
        sample: Simulate only so many of the file's scenarios, drawn with a seed.
        skip_bad_scenarios: Leave wrong rows of the file out, with a warning, instead of failing.
        num_examples: Conversations to simulate without a scenario file.
        num_turns: User turns of a conversation whose scenario does not say.
        model: ``provider/model`` that plays the chatbot (and its supervisors).
        user_model: ``provider/model`` that plays the user; as ``model`` where unset.
        base_url: URL of an OpenAI-compatible endpoint.
        concurrency: Conversations that are simulated at once, at the most.
        engine: Where it is simulated: ``local`` in one process, or ``ray`` on a cluster.
        ray_address: The cluster, ``HOST:6379`` or ``auto``; that of ``RAY_ADDRESS`` where unset, or else one on this
            machine for the time of the simulation.
        ray_workers: Worker processes on the cluster; as many as this machine has CPUs where unset.
        batch: Send the calls of ``openai`` models through their endpoints' batch APIs, at half the price: all
            conversations run at once, and advance in waves.
        batch_poll_seconds: Longest wait between two looks at a batch.
        on_userbot_fault: What is done with a conversation whose user did something wrong (a role flip, a leaked
            scenario, a loop of goodbyes, a repeated or empty turn, an early stop): ``keep``, ``drop`` or ``retry``.
        branches: Continuations that are made of each conversation, from one of its calls on.
        rejected: ``student``: the model of ``student`` is asked what supervisors answered, on the same prompts, and
            what it answers otherwise is kept as rejected.
        student: ``provider/model`` of the student, for ``rejected``.
        budget_usd: US dollars that one simulation may cost; any amount where unset.
        budget_calls: Model calls that one simulation may pay for; any number where unset.
        over_budget: What a simulation does whose estimate is above its budget: ``fail`` before anything is spent, or
            ``spend`` until the budget is spent.
        seed: Seed of the scenarios that have none.
        config: Options of :class:`AutogramConfig` for the chatbot.
        user_config: Options of :class:`AutogramConfig` for the user.
        dataset: Which calls become rows.
        sft: How to finetune.
        dpo: How to train on preferences.
        evaluation: How to evaluate.
    """

    userbot: str | None = None
    scenarios: str | None = None
    files: list[str] = Field(default_factory=list)
    sample: SampleSettings | None = None
    skip_bad_scenarios: bool = False
    num_examples: int = Field(default=10, ge=1)
    num_turns: int = Field(default=2, ge=1)
    model: str = "openai/gpt-4o-mini"
    user_model: str | None = None
    base_url: str | None = None
    concurrency: int = Field(default=64, ge=1)
    engine: Literal["local", "ray"] = "local"
    ray_address: str | None = None
    ray_workers: int | None = Field(default=None, ge=1)
    batch: bool = False
    batch_poll_seconds: float = Field(default=60.0, gt=0)
    on_userbot_fault: Literal["keep", "drop", "retry"] = "keep"
    branches: BranchSettings | None = None
    rejected: Literal["student"] | None = None
    student: str | None = None
    budget_usd: float | None = Field(default=None, ge=0)
    budget_calls: int | None = Field(default=None, ge=0)
    over_budget: Literal["fail", "spend"] = "fail"
    seed: int = 0
    config: dict[str, Any] = Field(default_factory=dict)
    user_config: dict[str, Any] = Field(default_factory=dict)
    dataset: DatasetSettings = Field(default_factory=DatasetSettings)
    sft: SftRecipe = Field(default_factory=SftRecipe)
    dpo: DpoRecipe = Field(default_factory=DpoRecipe)
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)

    @model_validator(mode="after")
    def _a_student_is_named(self) -> AutogramSettings:
        if self.rejected == "student" and self.student is None:
            raise ValueError('rejected = "student" asks the student too; set student = "provider/model"')
        return self
