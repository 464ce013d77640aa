"""What people set: ``AutogramConfig``, a project's ``autograms.toml``, and the recipes in it.

Pydantic models only. Unknown keys are refused with the nearest known one. What does not belong here: anything
that acts on a setting.
"""

from __future__ import annotations

import os
import tomllib
import types
import typing
import warnings
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from autograms.errors import SettingsError, nearest

__all__ = [
    "AutogramConfig",
    "AutogramSettings",
    "BranchSettings",
    "DatasetSettings",
    "DpoRecipe",
    "EvaluationSettings",
    "LoraSettings",
    "Project",
    "SampleSettings",
    "SftRecipe",
    "load_project",
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True)


# --------------------------------------------------------------------------------------- how a program asks its model


_WITHOUT_EFFECT = {
    "error_response": "errors are never answered with a canned text; the conversation fails with a clear message",
    "banned_phrases": "outputs are never filtered; use a supervisor",
    "post_process_response": "outputs are kept as the model wrote them",
    "chatbot_max_input_len": "prompts are never cut in silence",
    "classifier_max_input_len": "prompts are never cut in silence",
    "chatbot_wait_per_try": "waits follow the endpoint's Retry-After and grow with jitter",
    "classifier_wait_per_try": "waits follow the endpoint's Retry-After and grow with jitter",
    "reply_start_type": "the chat API needs no start of a reply",
    "default_reply_start_template": "the chat API needs no start of a reply",
    "user_instruction_template": "a userbot is a program of its own",
    "system_prompt_in_turns": "the system prompt is a message of its own",
    "classifier_mode": "choices are asked the same way of every model",
    "agent_name": "roles are the chat API's",
    "user_name": "roles are the chat API's",
    "instruction_name": "set instruction_template",
    "classifier_proxy_port": "decisions go to the chatbot's endpoint; set base_url, and classifier_path for the model",
    "embedding_proxy_port": "embeddings go to the chatbot's endpoint; set base_url, and embedding_path for the model",
    "embedding_type": "embeddings go to the chatbot's endpoint; set embedding_path for the model",
}
_PROVIDERS = {"proxy": "openai", "huggingface_tgi": "openai", "huggingface": "checkpoint"}


class AutogramConfig(_Strict):
    """How a program asks its model. AutoGRAMS' configuration names load; those without an effect are warned about.

    Attributes:
        chatbot_type: Provider of the model: ``openai``, ``checkpoint`` or ``offline`` (AutoGRAMS' ``proxy`` and
            ``huggingface_tgi`` stand for ``openai`` with a ``base_url``).
        chatbot_path: The model's name at that provider.
        classifier_type: Provider of the model that decides; as ``chatbot_type`` where unset.
        classifier_path: The model that decides; as ``chatbot_path`` where unset.
        embedding_path: The model for embeddings.
        base_url: URL of an OpenAI-compatible endpoint; ``OPENAI_BASE_URL`` where unset.
        chatbot_proxy_port: AutoGRAMS' way to say ``base_url="http://localhost:PORT/v1"``.
        max_tokens: Longest answer, in tokens; the endpoint's own limit where unset.
        chatbot_generation_args: Keywords of the chat API for every generating call.
        chatbot_max_tries: How often a request that failed for a passing reason is sent in all.
        classifier_max_tries: How often a decision is asked in all when the answer is none of the choices.
        default_prompt: System prompt where the program sets none.
        instruction_template: Text of an instruction in a prompt; must hold ``<instruction>``.
        default_question_prompt: Text before a question with choices.
        reply_suffix_inst_conversion: Instruction of ``reply_suffix``; must hold ``<instruction>``.
        exclude_classifier_system_prompt: Decide without the system prompt.
        default_transition_context: User turns that a decision sees.
        watchdog_seconds: How long a program may run on with neither a reply nor a call; 0 for ever.
        max_calls_per_turn: How many calls a program may make in one turn; 0 for any number.
        sandbox_command: Command that ``execute_code`` puts before the interpreter; what the system offers where unset.
    """

    chatbot_type: str = "openai"
    chatbot_path: str = "gpt-4o-mini"
    classifier_type: str | None = None
    classifier_path: str | None = None
    embedding_path: str = "text-embedding-3-small"
    base_url: str | None = None
    chatbot_proxy_port: int | None = None
    max_tokens: int | None = None
    chatbot_generation_args: dict[str, Any] = Field(default_factory=dict)
    chatbot_max_tries: int = Field(default=6, ge=1)
    classifier_max_tries: int = Field(default=2, ge=1)
    default_prompt: str | None = None
    instruction_template: str = "Instruction: <instruction>"
    default_question_prompt: str | None = None
    reply_suffix_inst_conversion: str = (
        "Reply to what the user said last, and close with this text, word for word: <instruction>"
    )
    exclude_classifier_system_prompt: bool = False
    default_transition_context: int = Field(default=1, ge=0)
    watchdog_seconds: float = Field(default=30.0, ge=0)
    max_calls_per_turn: int = Field(default=200, ge=0)
    sandbox_command: str | None = None

    def __init__(self, **values: Any) -> None:
        if "max_response_len" in values:
            values["max_tokens"] = values.pop("max_response_len")
        for name in [name for name in values if name in _WITHOUT_EFFECT]:
            if values.pop(name) is not None:
                warnings.warn(f"AutogramConfig: {name!r} has no effect: {_WITHOUT_EFFECT[name]}", stacklevel=2)
        if values.get("chatbot_generation_args", ...) is None:
            del values["chatbot_generation_args"]
        for name in ("instruction_template", "reply_suffix_inst_conversion"):
            if values.get(name, ...) is None:
                del values[name]
        unknown = set(values) - set(type(self).model_fields)
        if unknown:
            word = sorted(unknown)[0]
            raise SettingsError(f"AutogramConfig: unknown option {word!r}{nearest(word, type(self).model_fields)}")
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(f"AutogramConfig: {_first_problem(error)}") from None

    @model_validator(mode="after")
    def _templates_hold_the_instruction(self) -> AutogramConfig:
        for name in ("instruction_template", "reply_suffix_inst_conversion"):
            if "<instruction>" not in getattr(self, name):
                raise ValueError(f"{name} must hold <instruction>")
        return self

    @property
    def chatbot_model(self) -> str:
        """``provider/model`` of the generating model."""
        return f"{_PROVIDERS.get(self.chatbot_type, self.chatbot_type)}/{self.chatbot_path}"

    @property
    def classifier_model(self) -> str | None:
        """``provider/model`` of the deciding model, ``None`` where it is the generating one."""
        if self.classifier_path is None and self.classifier_type is None:
            return None
        provider = self.classifier_type or self.chatbot_type
        return f"{_PROVIDERS.get(provider, provider)}/{self.classifier_path or self.chatbot_path}"

    @property
    def endpoint(self) -> str | None:
        """URL of the endpoint, where one is set."""
        if self.base_url is None and self.chatbot_proxy_port is not None:
            return f"http://localhost:{self.chatbot_proxy_port}/v1"
        return self.base_url


# --------------------------------------------------------------------------------------------------- datasets, recipes


class DatasetSettings(_Strict):
    """Which calls become rows.

    Attributes:
        tag_query: Tags joined by ``&``, ``|``, ``!`` and parentheses.
        min_score: Keep calls whose supervisor scored at least this; calls with no score pass.
        require_supervisor: Keep supervised calls only.
        primitives: Keep these primitives only; all where empty.
        exclude_primitives: Leave these primitives out.
        statuses: Keep conversations with these statuses.
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
    statuses: list[Literal["completed", "truncated", "failed"]] = ["completed"]
    validation_fraction: float = Field(default=0.2, ge=0, lt=1)
    split_seed: int = 0
    group_by: list[str] = Field(default_factory=list)
    hold_out: dict[str, list[Any]] = Field(default_factory=dict)
    deduplicate: bool = True
    near_duplicates: float | None = Field(default=None, gt=0, le=1)
    max_tokens_total: int | None = Field(default=None, ge=1)


class LoraSettings(_Strict):
    """Low-rank adapters instead of a full finetune.

    Attributes:
        r: Rank.
        alpha: Scale.
        dropout: Dropout of the adapters.
        target_modules: Module names, or ``all-linear``.
        quantize_4bit: QLoRA: load the base in 4 bits (needs bitsandbytes and a GPU).
    """

    r: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: str | list[str] = "all-linear"
    quantize_4bit: bool = False


class SftRecipe(_Strict):
    """How to finetune on the SFT rows.

    Attributes:
        model: ``tiny`` (the embedded student), a model's folder, or its name on the Hugging Face hub; for the
            ``openai`` backend, the name of a model that the endpoint finetunes.
        backend: ``huggingface`` or ``openai``.
        epochs: Passes over the rows; ``max_steps`` takes precedence.
        max_steps: Optimizer steps.
        learning_rate: 3e-3 for ``tiny`` and 2e-5 otherwise, where unset.
        batch_size: Rows a step and device.
        gradient_accumulation: Steps that are added up before the optimizer moves.
        warmup_steps: Steps until the learning rate is full.
        lr_scheduler: Scheduler name, as in transformers.
        max_length: Longest row in tokens; longer rows are refused by the token audit unless ``truncate``.
        truncate: Cut longer rows instead of leaving them out.
        seed: Seed of initial weights, order and dropout.
        save_steps: Steps between checkpoints.
        early_stopping_patience: Evaluations without progress until training stops; never where unset.
        lora: Adapters instead of a full finetune.
        packing: Several rows in one sequence.
        launcher: Command before the worker, for example ``["torchrun", "--nproc_per_node", "2"]``.
        report_to: Trackers, as in transformers: ``tensorboard``, ``wandb``, ``mlflow``.
        hyperparameters: For the ``openai`` backend: passed to the job as they are.
        suffix: For the ``openai`` backend: part of the new model's name.
    """

    model: str = "tiny"
    backend: Literal["huggingface", "openai"] = "huggingface"
    epochs: float = Field(default=3.0, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    batch_size: int = Field(default=16, ge=1)
    gradient_accumulation: int = Field(default=1, ge=1)
    warmup_steps: int = Field(default=5, ge=0)
    lr_scheduler: str = "cosine"
    max_length: int = Field(default=1024, ge=16)
    truncate: bool = False
    seed: int = 0
    save_steps: int = Field(default=100, ge=1)
    early_stopping_patience: int | None = Field(default=None, ge=1)
    lora: LoraSettings | None = None
    packing: bool = False
    launcher: list[str] = Field(default_factory=list)
    report_to: list[str] = Field(default_factory=list)
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    suffix: str | None = None


class DpoRecipe(SftRecipe):
    """How to train on the DPO pairs, starting from the SFT model.

    Attributes:
        model: As in :class:`SftRecipe`; ``sft`` starts from the autogram's SFT model.
        learning_rate: 2e-4 for the embedded student and 1e-6 otherwise, where unset.
        beta: How closely the model stays to its start.
        loss_type: DPO losses, added up.
        loss_weights: A weight for each loss.
        rounds: Trainings, one after the other: the first on the supervisors' pairs, each further one also on what the
            student of the round before answers otherwise than the supervisors.
    """

    model: str = "sft"
    epochs: float = Field(default=1.0, gt=0)
    beta: float = Field(default=0.1, gt=0)
    loss_type: list[str] = Field(default_factory=lambda: ["sigmoid", "sft"])
    loss_weights: list[float] = Field(default_factory=lambda: [1.0, 1.0])
    rounds: int = Field(default=1, ge=1)


class EvaluationSettings(_Strict):
    """How the trained models are evaluated.

    Attributes:
        max_scenarios: Held-out scenarios that are run through the autogram in deployment mode.
        max_rows: Held-out rows that are answered.
        max_new_tokens: Longest answer in tokens.
        batch_size: Conversations that are answered at once.
        judge: ``provider/model`` of a judge, or ``None``.
        judge_base_url: URL of the judge's OpenAI-compatible endpoint; ``OPENAI_BASE_URL`` where unset.
        seed: Seed of the bootstrap.
    """

    max_scenarios: int = Field(default=32, ge=0)
    max_rows: int = Field(default=200, ge=1)
    max_new_tokens: int = Field(default=128, ge=1)
    batch_size: int = Field(default=32, ge=1)
    judge: str | None = None
    judge_base_url: str | None = None
    seed: int = 0


# ----------------------------------------------------------------------------------------------------- autograms.toml


class SampleSettings(_Strict):
    """A part of a scenario file.

    Attributes:
        n: How many scenarios.
        seed: Another seed draws others.
    """

    n: int = Field(ge=1)
    seed: int = 0


class BranchSettings(_Strict):
    """Continuations of simulated conversations.

    Attributes:
        at: The call from which on they differ: ``reply_instruction``, ``reply_instruction#2``, ``turn#-1``, ...
        n: How many.
    """

    at: str
    n: int = Field(ge=1)


class AutogramSettings(_Strict):
    """One autogram's table in ``autograms.toml``: ``[autograms.NAME]``, on top of ``[defaults]``.

    Attributes:
        userbot: Stem of a file in ``userbots/``; a plain model-driven user where unset.
        scenarios: File in ``scenarios/`` (JSON, JSON Lines, CSV or Parquet); ``num_examples`` empty scenarios where
            unset.
        sample: Simulate only so many of the file's scenarios, drawn with a seed.
        skip_bad_scenarios: Leave wrong rows of the file out, with a warning, instead of failing.
        num_examples: Conversations to simulate without a scenario file.
        num_turns: User turns of a conversation whose scenario does not say.
        model: ``provider/model`` that plays the chatbot (and its supervisors).
        user_model: ``provider/model`` that plays the user; as ``model`` where unset.
        base_url: URL of an OpenAI-compatible endpoint.
        concurrency: Conversations that are simulated at once, at the most.
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
    sample: SampleSettings | None = None
    skip_bad_scenarios: bool = False
    num_examples: int = Field(default=10, ge=1)
    num_turns: int = Field(default=2, ge=1)
    model: str = "openai/gpt-4o-mini"
    user_model: str | None = None
    base_url: str | None = None
    concurrency: int = Field(default=64, ge=1)
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


class Project:
    """A project's folder: ``chatbots/``, ``userbots/``, ``scenarios/`` and ``autograms.toml``.

    Args:
        root: The folder.
        defaults: The ``[defaults]`` table.
        tables: The ``[autograms.NAME]`` tables.
    """

    def __init__(self, root: Path, defaults: dict[str, Any], tables: dict[str, dict[str, Any]]) -> None:
        self.root = root
        self._defaults = defaults
        self._tables = tables

    @property
    def settings_file(self) -> Path:
        """The project's ``autograms.toml``."""
        return self.root / "autograms.toml"

    def names(self) -> list[str]:
        """Return the autograms' names: the stems of ``chatbots/*.py``, sorted, those with a leading ``_`` left out."""
        return sorted(path.stem for path in (self.root / "chatbots").glob("*.py") if not path.stem.startswith("_"))

    def chatbot_file(self, name: str) -> Path:
        """Return the autogram's file.

        Raises:
            SettingsError: Where there is none; the message names those there are.
        """
        path = self.root / "chatbots" / f"{name}.py"
        if not path.is_file():
            known = self.names()
            listing = ", ".join(known) if known else "none yet"
            raise SettingsError(
                f"no autogram {name!r}: {path} does not exist{nearest(name, known)} (autograms there: {listing})"
            )
        return path

    def settings(self, name: str) -> AutogramSettings:
        """Return the autogram's settings: ``[defaults]``, overlaid by ``[autograms.NAME]``.

        Raises:
            SettingsError: Where a key is unknown or a value has the wrong form.
        """
        merged = _overlay(self._defaults, self._tables.get(name, {}))
        where = f"{self.settings_file}, [autograms.{name}]"
        _refuse_unknown(merged, AutogramSettings, where)
        try:
            return AutogramSettings(**merged)
        except ValidationError as error:
            raise SettingsError(f"{where}: {_first_problem(error)}") from None

    def userbot_file(self, settings: AutogramSettings) -> Path | None:
        """Return the userbot's file, ``None`` where the plain user plays.

        Raises:
            SettingsError: Where the file is missing.
        """
        if settings.userbot is None:
            return None
        return self._existing("userbots", settings.userbot.removesuffix(".py") + ".py", "userbot")

    def scenario_file(self, settings: AutogramSettings) -> Path | None:
        """Return the scenario list, ``None`` where ``num_examples`` counts.

        Raises:
            SettingsError: Where the file is missing.
        """
        if settings.scenarios is None:
            return None
        return self._existing("scenarios", settings.scenarios, "scenarios")

    def _existing(self, folder: str, file: str, key: str) -> Path:
        path = self.root / folder / file
        if not path.is_file():
            known = [other.name for other in (self.root / folder).glob("*") if other.is_file()]
            raise SettingsError(f"{self.settings_file}: {key} names {path}, which does not exist{nearest(file, known)}")
        return path


def load_project(root: str | os.PathLike[str] | None = None) -> Project:
    """Read a project's ``autograms.toml``; a project without one has defaults only.

    Args:
        root: The project's folder; ``$AUTOGRAMS_PROJECT`` or ``examples`` where unset.

    Raises:
        SettingsError: Where the folder is missing, the TOML does not parse, or a table is unknown.
    """
    folder = Path(root or os.environ.get("AUTOGRAMS_PROJECT") or "examples").resolve()
    if not folder.is_dir():
        raise SettingsError(f"no project at {folder}: expected a folder with chatbots/*.py (set AUTOGRAMS_PROJECT)")
    file = folder / "autograms.toml"
    if not file.is_file():
        return Project(folder, {}, {})
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}") from None
    for key in data:
        if key not in ("defaults", "autograms"):
            raise SettingsError(f"{file}: unknown table [{key}]{nearest(key, ('defaults', 'autograms'))}")
    if not isinstance(data.get("defaults", {}), dict):
        raise SettingsError(f"{file}: defaults is {data['defaults']!r}; expected a table [defaults]")
    tables = data.get("autograms", {})
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise SettingsError(f"{file}: [autograms] holds {name!r}; expected tables such as [autograms.{name}]")
    project = Project(folder, data.get("defaults", {}), tables)
    for name in sorted(set(tables) - set(project.names())):
        warnings.warn(
            f"{file}: [autograms.{name}] has no effect: there is no chatbots/{name}.py{nearest(name, project.names())}",
            stacklevel=2,
        )
    return project


def _overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        merged[key] = _overlay(merged[key], value) if isinstance(value, dict) and key in merged else value
    return merged


def _refuse_unknown(values: dict[str, Any], model: type[BaseModel], where: str) -> None:
    for key, value in values.items():
        if key not in model.model_fields:
            raise SettingsError(f"{where}: unknown key {key!r}{nearest(key, model.model_fields)}")
        inner = _inner_model(model.model_fields[key].annotation)
        if inner is not None and isinstance(value, dict):
            _refuse_unknown(value, inner, f"{where}.{key}")


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    return next((option for option in options if isinstance(option, type) and issubclass(option, BaseModel)), None)


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    value = "" if first["type"] == "missing" else f" (got {first['input']!r})"
    return f"{place}: {first['msg']}{value}" if place else first["msg"]
